package fake

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/internal/atomicfile"
)

// shelving are the requests about guests that are set aside; mu is held.
var shelving = map[string]func(n *node, g *guest, r request) error{
	"shelve":   (*node).shelve,
	"unshelve": (*node).unshelve,
	"drop":     func(n *node, _ *guest, r request) error { return atomicfile.Remove(n.shelf(r.Name, r.Text)) },
}

func (n *node) shelf(name, key string) string {
	return filepath.Join(n.dir, "shelf", name+"."+key)
}

func (n *node) onShelf(r request) bool {
	_, err := os.Stat(n.shelf(r.Name, r.Text))
	return err == nil
}

func (n *node) shelve(g *guest, r request) error {
	switch {
	case g == nil && n.onShelf(r):
		return nil
	case g == nil:
		return noVM(r.Name)
	case !g.off():
		return refusal.Running(r.Name, "it is set aside")
	case n.onShelf(r):
		return refusal.Exists(r.Name)
	}
	if err := os.MkdirAll(filepath.Join(n.dir, "shelf"), 0o700); err != nil {
		return err
	}
	if err := os.Rename(n.path(r.Name), n.shelf(r.Name, r.Text)); err != nil {
		return err
	}
	n.changed(backends.Event{Kind: backends.StateChanged, Status: backends.Status{Name: r.Name, State: backends.Absent}})
	return nil
}

func (n *node) unshelve(g *guest, r request) error {
	switch {
	case g == nil && !n.onShelf(r):
		return noVM(r.Name)
	case g != nil && !n.onShelf(r):
		return nil
	case g != nil:
		return refusal.Exists(r.Name)
	}
	if err := os.Rename(n.shelf(r.Name, r.Text), n.path(r.Name)); err != nil {
		return err
	}
	st, err := n.statusLocked(r.Name)
	n.changed(backends.Event{Kind: backends.StateChanged, Status: st})
	return err
}

// Shelve sets a guest aside.
func (b *Backend) Shelve(ctx context.Context, name, key string) error {
	return b.move(ctx, "shelve", name, key)
}

// Unshelve brings it back.
func (b *Backend) Unshelve(ctx context.Context, name, key string) error {
	return b.move(ctx, "unshelve", name, key)
}

// DropShelved deletes it.
func (b *Backend) DropShelved(ctx context.Context, name, key string) error {
	return b.move(ctx, "drop", name, key)
}

func (b *Backend) move(ctx context.Context, method, name, key string) error {
	if err := backends.CheckShelf(name, key); err != nil {
		return err
	}
	return b.end(ctx, request{Method: method, Name: name, Text: key})
}

// Shelved lists what is set aside.
func (b *Backend) Shelved(ctx context.Context) ([]backends.ShelvedVM, error) {
	if b.cluster != nil {
		if err := b.cluster.trip(ctx); err != nil {
			return nil, err
		}
	}
	files, err := filepath.Glob(b.node.shelf("*", "*"))
	if err != nil {
		return nil, err
	}
	var all []backends.ShelvedVM
	for _, file := range files {
		st, err := os.Stat(file)
		if err != nil {
			continue // dropped meanwhile
		}
		name, key, _ := strings.Cut(filepath.Base(file), ".")
		all = append(all, backends.ShelvedVM{Name: name, Key: key, Since: st.ModTime(), Bytes: st.Size()})
	}
	return all, nil
}
