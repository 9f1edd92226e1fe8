package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/nixvm/nixvm/api"
)

// previewUpgrade prints what an upgrade would do.
func (a *app) previewUpgrade(ctx context.Context, name, image string) error {
	var p api.UpgradePreview
	if err := a.ask(ctx, "upgrade", api.MethodUpgradePreview, api.UpgradePreviewParams{Name: name, Image: image}, &p); err != nil {
		return err
	}
	return a.print(p, func(w io.Writer) { previewText(w, name, p) })
}

func previewText(w io.Writer, name string, p api.UpgradePreview) {
	if p.Same {
		fmt.Fprintf(w, "%s already has the image %s: nothing would be restarted\n", name, p.Current.ID)
		return
	}
	next := p.Next.ID
	switch {
	case next == "":
		next = p.Next.Kind + ", to be imported"
	case !p.Built:
		next += ", to be built"
	}
	effect := "at its next start"
	if p.Restarts {
		effect = "the guest is shut down and booted"
	}
	nix := ""
	if p.LosesNix {
		nix = "what was installed is removed if the image has another Nix store"
	}
	fields(w, [][2]string{
		{"Current image", p.Current.ID},
		{"Next image", next},
		{"New profiles", strings.Join(p.Added, ", ")},
		{"Removed profiles", strings.Join(p.Removed, ", ")},
		{"Takes effect", effect},
		{"/nix", nix},
	}...)
}
