package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/api"
)

func newImage(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "image", Short: "List images, or remove unused ones", Args: takes(),
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
	p := api.ImageGCParams{Disks: true}
	cmd := &cobra.Command{
		Use: "gc", Short: "Remove images that no machine uses",
		Long: `Remove images that no machine uses: outdated ones (of an earlier version of the
flake or of nixvm), imported ones, and broken ones. Up-to-date images are kept,
because create would have to build them again; --all removes them too. The image
of an existing VM is never removed.

Disks and snapshots that recreate has set aside are removed, too.

Files in the Nix store are deleted if nothing else refers to them. Copies on other
hosts are deleted if no VM of any user there uses them.`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var r api.ImageGCResult
			if err := a.ask(cmd.Context(), "image gc", api.MethodImageGC, p, &r); err != nil {
				return err
			}
			for _, w := range r.Warnings {
				a.note("%s", w)
			}
			return a.print(r, func(w io.Writer) { collectedTable(w, r, p.DryRun) })
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&p.All, "all", false, "also remove up-to-date images")
	flags.BoolVar(&p.DryRun, "dry-run", false, "only print what would be removed")
	return cmd
}

func collectedTable(w io.Writer, r api.ImageGCResult, dryRun bool) {
	gone := "removed"
	if dryRun {
		gone = "would be removed"
	}
	var freed int64
	rows := make([][]string, 0, len(r.Images))
	for _, i := range r.Images {
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
	rows = nil
	for _, d := range r.Disks {
		what := gone
		if d.Kept != "" {
			what = "kept"
		} else {
			freed += d.Bytes
		}
		rows = append(rows, []string{d.Machine, sizeText(d.Bytes), what, d.Since.Local().Format("2006-01-02 15:04"), d.Kept})
	}
	if len(rows) > 0 {
		table(w, []string{"FORMER DISKS OF", "SIZE", "RESULT", "SINCE", "WHY"}, rows)
	}
	if dryRun {
		fmt.Fprintf(w, "would free %s\n", sizeText(freed))
		return
	}
	fmt.Fprintf(w, "freed %s\n", sizeText(freed))
}
