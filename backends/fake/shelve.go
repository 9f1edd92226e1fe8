package fake

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/internal/atomicfile"
)

// shelving are the requests about guests that are set aside, or get another name; mu is
// held.
var shelving = map[string]func(n *node, g *guest, r request) error{
	"shelve":   (*node).shelve,
	"unshelve": (*node).unshelve,
	"drop":     (*node).drop,
	"rename":   (*node).rename,
}

func (n *node) shelf(name, key string) string {
	return filepath.Join(n.dir, "shelf", name+"."+key)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func (n *node) onShelf(r request) bool {
	path := n.shelf(r.Name, r.Text)
	return exists(path) && r.ref().Is(uuidIn(path))
}

// uuidIn reads the UUID of a guest that is set aside; empty where its file is damaged.
func uuidIn(path string) string {
	content, err := os.ReadFile(path)
	var g guest
	if err != nil || json.Unmarshal(content, &g) != nil {
		return ""
	}
	return g.Kept.UUID
}

func (n *node) drop(_ *guest, r request) error {
	if !n.onShelf(r) {
		return nil
	}
	return atomicfile.Remove(n.shelf(r.Name, r.Text))
}

func (n *node) shelve(g *guest, r request) error {
	switch {
	case g == nil && n.onShelf(r):
		return nil
	case g == nil:
		return noVM(r.Name)
	case !g.off():
		return refusal.Running(r.Name, "it is set aside")
	case exists(n.shelf(r.Name, r.Text)):
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
	case exists(n.path(r.Name)):
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
func (b *Backend) Shelve(ctx context.Context, ref backends.Ref, key string) error {
	return b.move(ctx, "shelve", ref, key)
}

// Unshelve brings it back.
func (b *Backend) Unshelve(ctx context.Context, ref backends.Ref, key string) error {
	return b.move(ctx, "unshelve", ref, key)
}

// DropShelved deletes it.
func (b *Backend) DropShelved(ctx context.Context, ref backends.Ref, key string) error {
	return b.move(ctx, "drop", ref, key)
}

func (b *Backend) move(ctx context.Context, method string, ref backends.Ref, key string) error {
	if err := backends.CheckShelf(ref.Name, key); err != nil {
		return err
	}
	r := about(method, ref)
	r.Text = key
	return b.end(ctx, r)
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
		all = append(all, backends.ShelvedVM{
			VM: backends.Ref{Name: name, UUID: uuidIn(file)}, Key: key, Since: st.ModTime(), Bytes: st.Size(),
		})
	}
	return all, nil
}
