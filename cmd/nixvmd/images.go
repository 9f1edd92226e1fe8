package main

import (
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/machine"
	"github.com/nixvm/nixvm/rpc"
)

func newImages(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "images", Short: "List the images that are built", Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var r rpc.ImageListResult
			if err := a.ask(cmd.Context(), "images", rpc.MethodImageList, rpc.NoParams{}, &r); err != nil {
				return err
			}
			if len(r.Images) == 0 {
				a.note("no image yet: create builds the one that it needs")
			}
			return a.print(r, func(w io.Writer) {
				if len(r.Images) > 0 {
					imageTable(w, r.Images)
				}
			})
		},
	}
}

func imageTable(w io.Writer, images []rpc.Image) {
	rows := make([][]string, 0, len(images))
	for _, i := range images {
		built := ""
		if !i.Built.IsZero() {
			built = i.Built.Local().Format("2006-01-02 15:04")
		}
		rows = append(rows, []string{i.ID, i.Distro, i.Mode, strings.Join(i.Profiles, ","), machine.FormatSize(i.VirtualSizeBytes), i.Version, built, i.Source})
	}
	table(w, []string{"ID", "DISTRO", "MODE", "PROFILES", "SIZE", "VERSION", "BUILT", "SOURCE"}, rows)
}
