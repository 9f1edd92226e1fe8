package fake

import (
	"context"
	"fmt"

	"github.com/nixvm/nixvm/backends"
)

var _ backends.SpaceHost = (*Backend)(nil)

// Space is what SetSpace has said; without it, a TiB.
func (b *Backend) Space(context.Context) (backends.Space, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	free := int64(1 << 40)
	if b.free != nil {
		free = *b.free
	}
	return backends.Space{Storage: "fake " + b.config.Name, Name: "the disk of " + b.config.Name, Free: free}, nil
}

// SetSpace says how much is left for the disks of guests, in bytes.
func (b *Backend) SetSpace(free int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free = &free
}

// Fill lets a guest write what there is no room for.
func (b *Backend) Fill(name string) error {
	return b.node.apply(request{Method: "fill", Name: name})
}

func fillHost(g *guest, r request) error {
	if g.Status.State != backends.Running {
		return fmt.Errorf("%s writes nothing: it is %s", r.Name, g.Status.State)
	}
	g.Status.State, g.Status.Full, g.Status.Reason = backends.Suspended, true, backends.HostFull
	return nil
}

func resumeGuest(g *guest, r request) error {
	err := swap(g, r, backends.Suspended, backends.Running)
	if err == nil {
		g.Status.Full, g.Status.Reason = false, ""
	}
	return err
}
