package main

import (
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/api"
)

func newImages(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "images", Short: "List the images and the machines that use them", Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var r api.ImageListResult
			if err := a.ask(cmd.Context(), "images", api.MethodImageList, api.NoParams{}, &r); err != nil {
				return err
			}
			if len(r.Images) == 0 {
				a.note("no images; create builds what it needs")
			}
			return a.print(r, func(w io.Writer) {
				if len(r.Images) > 0 {
					imageTable(w, r.Images)
				}
			})
		},
	}
}

func imageTable(w io.Writer, images []api.Image) {
	rows := make([][]string, 0, len(images))
	for _, i := range images {
		built := ""
		if !i.Built.IsZero() {
			built = i.Built.Local().Format("2006-01-02 15:04")
		}
		rows = append(rows, []string{i.ID, strings.Join(i.Profiles, ","), sizeText(i.Bytes), built, strings.Join(i.Machines, ","), i.Source})
	}
	table(w, []string{"IMAGE", "PROFILES", "SIZE", "BUILT", "MACHINES", "SOURCE"}, rows)
}
