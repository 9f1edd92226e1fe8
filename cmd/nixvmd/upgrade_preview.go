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
		{"Packages", packagesText(p)},
	}...)
	for _, c := range p.Packages {
		change := strings.Join(c.Before, ", ") + " -> " + strings.Join(c.After, ", ")
		switch {
		case len(c.Before) == 0:
			change = strings.Join(c.After, ", ") + " (new)"
		case len(c.After) == 0:
			change = strings.Join(c.Before, ", ") + " (removed)"
		}
		fmt.Fprintf(w, "  %s %s\n", clean(c.Name), clean(change))
	}
}

// packagesText counts the packages that change, or says why that is not known.
func packagesText(p api.UpgradePreview) string {
	if p.NotCompared != "" {
		return "not compared: " + clean(p.NotCompared)
	}
	added, removed := 0, 0
	for _, c := range p.Packages {
		if len(c.Before) == 0 {
			added++
		}
		if len(c.After) == 0 {
			removed++
		}
	}
	return fmt.Sprintf("%d changed, %d new, %d removed", len(p.Packages)-added-removed, added, removed)
}
