package proxmox

import (
	"context"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/backends/proxmox/pve"
	"github.com/nixvm/nixvm/internal/problem"
)

// shelf is what the description of a VM that is set aside says. Its tags are others than
// those of a VM of ours, and so is its name.
type shelf struct {
	Key    string    `json:"key"`
	Since  time.Time `json:"since"`
	Onboot string    `json:"onboot,omitempty"` // as it was
}

// aside is a VM that is set aside.
type aside struct {
	entry
	record
	conf conf
}

// onShelf are the VMs of this installation that are set aside.
func (b *Backend) onShelf(ctx context.Context, s scan) ([]aside, error) {
	var all []aside
	for _, e := range s.entries {
		if e.mark.Shelf != b.owner.ID {
			continue
		}
		c, err := b.conf(ctx, e)
		switch {
		case pve.NoVM(err):
			continue
		case err != nil:
			return nil, b.problem(err)
		}
		if r := readRecord(c["description"]); r.Shelf != nil {
			all = append(all, aside{e, r, c})
		}
	}
	return all, nil
}

// underKey is the VM of the name that is set aside under the key; nil = there is none.
func (b *Backend) underKey(ctx context.Context, s scan, name, key string) (*aside, error) {
	all, err := b.onShelf(ctx, s)
	for _, a := range all {
		if a.Name == name && a.Shelf.Key == key {
			return &a, err
		}
	}
	return nil, err
}

// Shelve gives a VM other tags and another name; see backends.Shelver. Its number stays.
func (b *Backend) Shelve(ctx context.Context, ref backends.Ref, key string) error {
	if err := backends.CheckShelf(ref.Name, key); err != nil {
		return err
	}
	ctx, done, err := b.begin(ctx, ref.Name)
	if err != nil {
		return err
	}
	defer done()
	s, err := b.scan(ctx)
	if err != nil {
		return err
	}
	there, err := b.underKey(ctx, s, ref.Name, key)
	if err != nil {
		return err
	}
	f, err := b.need(ctx, ref)
	switch {
	case problem.HasCode(err, problem.VMNotFound) && there != nil && ref.Is(there.UUID):
		return nil
	case err != nil:
		return err
	case up(f.status):
		return refusal.Running(ref.Name, "it is set aside")
	case there != nil:
		return refusal.Exists(ref.Name)
	}
	c, err := b.conf(ctx, f.entry)
	if err != nil {
		return b.problem(err)
	}
	r := readRecord(c["description"])
	r.Name, r.UUID, r.Shelf = ref.Name, f.mark.UUID, &shelf{Key: key, Since: time.Now().Truncate(time.Second), Onboot: c["onboot"]}
	err = b.put(ctx, f.entry, pve.Params{
		"name": "nixvm-shelf-" + itoa(f.id), "tags": mark{Shelf: b.owner.ID, UUID: r.UUID}.tags(), "description": b.vmDescription(r), "onboot": "0",
	})
	if err != nil {
		return b.failed(problem.Internal, "set aside "+ref.Name, err)
	}
	b.gone(ref.Name)
	return nil
}

// Unshelve gives it its own again. Its identity medium may be that of the VM which had its
// place: the next start uploads it.
func (b *Backend) Unshelve(ctx context.Context, ref backends.Ref, key string) error {
	if err := backends.CheckShelf(ref.Name, key); err != nil {
		return err
	}
	ctx, done, err := b.begin(ctx, ref.Name)
	if err != nil {
		return err
	}
	defer done()
	s, err := b.scan(ctx)
	if err != nil {
		return err
	}
	there, err := b.underKey(ctx, s, ref.Name, key)
	if err != nil {
		return err
	}
	live, err := b.findIn(ctx, s, backends.Named(ref.Name))
	switch {
	case err != nil:
		return err
	case there == nil || !ref.Is(there.UUID):
		if live != nil && ref.Is(live.mark.UUID) {
			return nil
		}
		return refusal.NotFound(ref.Name)
	case live != nil:
		return refusal.Exists(ref.Name)
	}
	r, onboot := there.record, there.Shelf.Onboot
	r.Shelf, r.Medium = nil, ""
	if onboot == "" {
		onboot = "0"
	}
	err = b.put(ctx, there.entry, pve.Params{
		"name": ref.Name, "tags": mark{Owner: b.owner.ID, UUID: r.UUID}.tags(), "description": b.vmDescription(r), "onboot": onboot,
	})
	if err != nil {
		return b.failed(problem.Internal, "bring back "+ref.Name, err)
	}
	e := there.entry
	e.name, e.mark = ref.Name, mark{Owner: b.owner.ID, UUID: r.UUID}
	b.observe(e, b.status(e), b.view.now())
	return nil
}

// Shelved lists them.
func (b *Backend) Shelved(ctx context.Context) ([]backends.ShelvedVM, error) {
	s, err := b.scan(ctx)
	if err != nil {
		return nil, err
	}
	all, err := b.onShelf(ctx, s)
	if err != nil {
		return nil, err
	}
	var list []backends.ShelvedVM
	for _, a := range all {
		list = append(list, backends.ShelvedVM{
			VM: backends.Ref{Name: a.Name, UUID: a.UUID}, Key: a.Shelf.Key, Since: a.Shelf.Since,
			Bytes: parseSize(a.conf.option(stateDrive(a.Mutable), "size")), Place: "on backend " + b.Name() + ", as VM " + itoa(a.id),
		})
	}
	return list, nil
}

// DropShelved deletes one. The identity medium is left to the VM in its place.
func (b *Backend) DropShelved(ctx context.Context, ref backends.Ref, key string) error {
	if err := backends.CheckShelf(ref.Name, key); err != nil {
		return err
	}
	ctx, done, err := b.begin(ctx, ref.Name)
	if err != nil {
		return err
	}
	defer done()
	s, err := b.scan(ctx)
	if err != nil {
		return err
	}
	there, err := b.underKey(ctx, s, ref.Name, key)
	if err != nil || there == nil || !ref.Is(there.UUID) {
		return err
	}
	if err := b.remove(ctx, there.entry); err != nil {
		return b.failed(problem.Internal, "delete what was set aside of "+ref.Name, err)
	}
	for _, e := range s.entries {
		if b.ours(e.mark) && e.mark.UUID == there.UUID {
			return nil
		}
	}
	b.dropMedium(ctx, there.node, there.UUID)
	return nil
}
