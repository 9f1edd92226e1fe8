package fake

import (
	"context"
	"os"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/internal/names"
)

// Rename gives a guest that is off another name; see backends.Renamer.
func (b *Backend) Rename(ctx context.Context, ref backends.Ref, to string) error {
	if err := names.Machine(to); err != nil {
		return err
	}
	r := about("rename", ref)
	r.Text = to
	return b.end(ctx, r)
}

// rename is the request. mu is held.
func (n *node) rename(g *guest, r request) error {
	there, err := n.statusLocked(r.Text)
	switch {
	case err != nil:
		return err
	case g == nil && there.State != backends.Absent && r.ref().Is(there.UUID):
		return nil
	case g == nil:
		return noVM(r.Name)
	case !g.off():
		return refusal.Running(r.Name, "it is renamed")
	case there.State != backends.Absent:
		return refusal.Exists(r.Text)
	}
	if err := os.Rename(n.path(r.Name), n.path(r.Text)); err != nil {
		return err
	}
	n.changed(backends.Event{Kind: backends.StateChanged, Status: backends.Status{Name: r.Name, State: backends.Absent}})
	st, err := n.statusLocked(r.Text)
	n.changed(backends.Event{Kind: backends.StateChanged, Status: st})
	return err
}
