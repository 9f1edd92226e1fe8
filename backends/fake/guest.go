package fake

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/atomicfile"
)

// guest is the content of one state file.
type guest struct {
	Status     backends.Status
	Content    string
	Disk       int64
	FileSystem int64 `json:",omitempty"` // what of the disk the guest uses, once it has booted
	Autostart  bool
	Snapshots  []snapshot
	Kept       backends.Kept // without Identity
	Medium     medium
	PCIDevices []string `json:",omitempty"`
	VMID       int      `json:",omitempty"` // on a cluster
	Node       string   `json:",omitempty"`
	Lock       string   // the task that makes it, on a cluster; it is not whole until that has ended
}

type snapshot struct {
	backends.Snapshot
	Content string
}

func (g *guest) find(name string) int {
	return slices.IndexFunc(g.Snapshots, func(s snapshot) bool { return s.Name == name })
}

// off reports whether nothing of the guest runs.
func (g *guest) off() bool {
	return g.Status.State == backends.Stopped || g.Status.State == backends.Crashed
}

// status is what is said of it.
func (g *guest) status() backends.Status {
	s := g.Status
	s.UUID, s.Node = g.Kept.UUID, g.Node
	if g.Lock != "" {
		s.State, s.Reason = backends.Broken, "it is locked: "+g.Lock
	}
	return s
}

// node has the guests of one directory, a file for each.
type node struct {
	dir     string
	changed func(backends.Event) // called with mu held

	mu sync.Mutex
}

func (n *node) path(name string) string { return filepath.Join(n.dir, name+".json") }

// load reads a guest; nil for none. One that cannot be read is broken. mu is held.
func (n *node) load(name string) (*guest, error) {
	content, err := os.ReadFile(n.path(name))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var g guest
	if damage := json.Unmarshal(content, &g); damage != nil {
		g = guest{Status: backends.Status{Name: name, State: backends.Broken, Reason: "its file is damaged: " + damage.Error()}}
	}
	g.Status.Name = name // it may have been renamed
	return &g, nil
}

func (n *node) save(name string, g *guest) error {
	content, err := json.Marshal(g)
	if err != nil {
		return err
	}
	return atomicfile.Write(n.path(name), content, 0o600)
}

// status of one guest.
func (n *node) status(name string) (backends.Status, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.statusLocked(name)
}

func (n *node) statusLocked(name string) (backends.Status, error) {
	g, err := n.load(name)
	if err != nil || g == nil {
		return backends.Status{Name: name, State: backends.Absent}, err
	}
	st := g.status()
	st.Name, st.UUID = name, g.Kept.UUID
	return st, nil
}

// list returns the status of all guests.
func (n *node) list() ([]backends.Status, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.listLocked()
}

func (n *node) listLocked() ([]backends.Status, error) {
	files, err := filepath.Glob(n.path("*"))
	if err != nil {
		return nil, err
	}
	list := make([]backends.Status, 0, len(files))
	for _, f := range files {
		st, err := n.statusLocked(strings.TrimSuffix(filepath.Base(f), ".json"))
		if err != nil {
			return nil, err
		}
		list = append(list, st)
	}
	return list, nil
}
