package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/api"
)

func newImage(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "image", Short: "List, or collect, the images that are built", Args: takes(),
		RunE: verbMissing,
	}
	cmd.AddCommand(newImageList(a), newImageGC(a))
	return cmd
}

func newImageList(a *app) *cobra.Command {
	cmd := newImages(a)
	cmd.Use = "list"
	return cmd
}

func newImageGC(a *app) *cobra.Command {
	var p api.ImageGCParams
	cmd := &cobra.Command{
		Use: "gc", Short: "Remove the images that no machine needs",
		Long: `Remove the images that no machine needs: those of an earlier version of the
flake or of nixvm, those that were imported, and broken ones. An image that
create would build again as it is stays; --all removes it too. What a VM is made
from always stays.

Files in the Nix store are removed from it if nothing else there needs them.
Copies that were uploaded to other hosts are removed when no VM there, of
anybody, needs them.`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var r api.ImageGCResult
			if err := a.ask(cmd.Context(), "image gc", api.MethodImageGC, p, &r); err != nil {
				return err
			}
			for _, w := range r.Warnings {
				a.note("%s", w)
			}
			return a.print(r, func(w io.Writer) { collectedTable(w, r.Images, p.DryRun) })
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&p.All, "all", false, "remove also images that would be built again as they are")
	flags.BoolVar(&p.DryRun, "dry-run", false, "remove nothing, say what would be")
	return cmd
}

func collectedTable(w io.Writer, images []api.CollectedImage, dryRun bool) {
	gone := "removed"
	if dryRun {
		gone = "would be removed"
	}
	var freed int64
	rows := make([][]string, 0, len(images))
	for _, i := range images {
		what, why := gone, i.Note
		if i.Kept != "" {
			what, why = "kept", i.Kept
		} else {
			freed += i.Bytes
		}
		if i.Backend != "" {
			i.ID += " on " + i.Backend
		}
		rows = append(rows, []string{i.ID, sizeText(i.Bytes), what, why})
	}
	if len(rows) > 0 {
		table(w, []string{"IMAGE", "SIZE", "RESULT", "WHY"}, rows)
	}
	if dryRun {
		fmt.Fprintf(w, "would free %s\n", sizeText(freed))
		return
	}
	fmt.Fprintf(w, "freed %s\n", sizeText(freed))
}
