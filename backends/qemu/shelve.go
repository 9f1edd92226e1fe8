package qemu

import (
	"context"
	"fmt"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/backends/internal/shelf"
)

func (b *Backend) shelf() shelf.Dir {
	return shelf.Dir{Path: b.layout.VMs(), UUID: func(dir string) string {
		r, err := vmFiles{dir: dir}.readRecord()
		if err != nil {
			return "" // damaged: known by its name alone
		}
		return r.UUID
	}}
}

// Shelve renames the directory of a VM; see backends.Shelver.
func (b *Backend) Shelve(ctx context.Context, ref backends.Ref, key string) error {
	name := ref.Name
	if err := backends.CheckShelf(name, key); err != nil {
		return err
	}
	if there := filesOf(b.layout, name); b.shelf().Has(ref, key) && !(there.exists() && there.is(ref)) {
		return nil
	}
	v, err := b.begin(ctx, ref)
	if err != nil {
		return err
	}
	defer v.finish()
	if v.instance() != nil {
		return refusal.Running(name, "it is set aside")
	}
	if err := b.shelf().Put(name, key); err != nil {
		return fmt.Errorf("set VM %s aside: %w", name, err)
	}
	b.events.Push(backends.Event{Kind: backends.StateChanged, Status: backends.Status{Name: name, State: backends.Absent}})
	return nil
}

// Unshelve renames it back; see backends.Shelver.
func (b *Backend) Unshelve(ctx context.Context, ref backends.Ref, key string) error {
	name := ref.Name
	if err := backends.CheckShelf(name, key); err != nil {
		return err
	}
	v, err := b.reserve(ctx, name)
	if err != nil {
		return err
	}
	defer v.finish()
	if !b.shelf().Has(ref, key) {
		if v.files.exists() && v.is(ref) {
			return nil
		}
		return refusal.NotFound(name)
	}
	if err := b.shelf().Take(name, key); err != nil {
		return fmt.Errorf("bring VM %s back: %w", name, err)
	}
	b.events.Push(backends.Event{Kind: backends.StateChanged, Status: statusOnDisk(v.files, name)})
	return nil
}

// Shelved lists what is set aside.
func (b *Backend) Shelved(context.Context) ([]backends.ShelvedVM, error) { return b.shelf().List() }

// DropShelved deletes a VM that is set aside.
func (b *Backend) DropShelved(_ context.Context, ref backends.Ref, key string) error {
	return b.shelf().Drop(ref, key)
}
