package qemu

import (
	"context"
	"fmt"
	"os"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/internal/atomicfile"
)

// Rename renames the directory of a VM; see backends.Renamer. Nothing in it has its path:
// the overlay on the image, the command line and the sockets are made at every start.
func (b *Backend) Rename(ctx context.Context, ref backends.Ref, to string) error {
	there, err := b.reserve(ctx, to)
	if err != nil {
		return err
	}
	defer there.finish()
	if from := filesOf(b.layout, ref.Name); !(from.exists() && from.is(ref)) && there.files.exists() && there.is(ref) {
		return nil
	}
	v, err := b.begin(ctx, ref)
	if err != nil {
		return err
	}
	defer v.finish()
	switch {
	case v.instance() != nil:
		return refusal.Running(ref.Name, "it is renamed")
	case there.files.exists():
		return refusal.Exists(to)
	}
	if err := os.RemoveAll(v.files.runtime); err != nil { // where older ones had their sockets
		return fmt.Errorf("rename VM %s: %w", ref.Name, err)
	}
	if err := os.Rename(v.files.dir, there.files.dir); err != nil {
		return fmt.Errorf("rename VM %s: %w", ref.Name, err)
	}
	if err := atomicfile.SyncDir(b.layout.VMs()); err != nil {
		return fmt.Errorf("rename VM %s: %w", ref.Name, err)
	}
	b.events.Push(backends.Event{Kind: backends.StateChanged, Status: backends.Status{Name: ref.Name, State: backends.Absent}})
	b.events.Push(backends.Event{Kind: backends.StateChanged, Status: statusOnDisk(there.files, to)})
	return nil
}
