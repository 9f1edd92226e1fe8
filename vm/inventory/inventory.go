// Package inventory holds the known state of every machine: its directory, the record
// of its VM, the status that the backend reports, and whether the guest's SSH server
// answers.
//
// # One writer
//
// The status of a VM is written by one goroutine for each backend, which reads the
// backend's events. The result of a concurrent Backend.Status call is not ordered
// relative to these events: it may be older than the last applied event.
// [Inventory.Refresh] therefore makes the result part of the stream. It inserts a mark,
// queries the backend, and inserts a second mark after the result; the writer applies
// the result when it reaches the second mark, unless there is an event of the same VM
// between the two. In that case the result may be older than the event, and the backend
// is queried again. So a status is never replaced by an older one, and the effect of an
// operation is visible when its Refresh returns.
//
// # Readers
//
// Each machine has one immutable [Entry] behind an atomic pointer: [Inventory.Get] and
// [Inventory.List] take no lock, and what they return never changes.
//
// # Files
//
// Machine directories and records are read and written under a lock for each name, so
// that an older file content is never applied over a newer one.
package inventory

import (
	"context"
	"hash/maphash"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/paths"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
)

// Options are what an Inventory stands on.
type Options struct {
	Layout   paths.Layout
	Machines *machine.Store
	Backends []backends.Backend // their names differ
	Log      *slog.Logger
	AskLimit time.Duration // bounds a question about all VMs of a backend
	Again    time.Duration // after which a wait for sshd that has failed begins anew; 0 = 5 s
	Hooks    Hooks
}

// Hooks are called when something has changed, without a lock held. They run on the
// goroutine that writes the status of VMs: they must not wait for a Refresh, nor for
// long at all.
type Hooks struct {
	// Changed: the entry of a machine is another one, or is gone.
	Changed func(name string)
	// Ready: the guest's SSH server has answered with the pinned host key.
	Ready func(name string)
	// Restarted: the guest has rebooted by itself. Connections to it lead nowhere.
	Restarted func(name string)
	// Ended: the guest is gone. Connections to it lead nowhere.
	Ended func(name string)
	// AgentUp: the guest agent has opened its port.
	AgentUp func(name string)
	// Notice: a damaged file was made again; text is a sentence for people.
	Notice func(text string)
	// CapabilitiesChanged: a backend can do other things than before.
	CapabilitiesChanged func(backend string)
	// Busy reports whether an operation runs on a machine: its entry stays although
	// there is nothing of it.
	Busy func(name string) bool
}

// Inventory is safe for concurrent use.
type Inventory struct {
	options Options
	streams map[string]*stream // by the name of the backend
	records records

	ctx    context.Context // of the waits for SSH servers
	cancel context.CancelFunc
	wg     sync.WaitGroup

	cells atomic.Pointer[map[string]*cell] // replaced, never changed, when a name comes or goes

	mu      sync.Mutex                // held while entries are replaced, and never while anything outside is called
	silent  map[string]*problem.Error // backends that could not be asked, and why
	closing bool

	files [64]sync.Mutex // the files of the machines whose names hash to each; before mu
	seed  maphash.Seed
}

// cell is the place of one name.
type cell struct{ entry atomic.Pointer[Entry] }

// New returns an empty inventory. ctx is of its whole life; Stop and Wait end it. Load
// fills it and follows the events of the backends from then on: no hook is called before.
func New(ctx context.Context, o Options) *Inventory {
	v := &Inventory{
		options: o, streams: map[string]*stream{}, records: records{o.Layout},
		silent: map[string]*problem.Error{}, seed: maphash.MakeSeed(),
	}
	if v.options.Again == 0 {
		v.options.Again = 5 * time.Second
	}
	v.cells.Store(&map[string]*cell{})
	v.ctx, v.cancel = context.WithCancel(ctx)
	for _, b := range o.Backends {
		v.streams[b.Name()] = newStream()
	}
	return v
}

// Stop ends the waits for SSH servers and begins no new ones. Refresh works until the
// backends are closed.
func (v *Inventory) Stop() {
	v.mu.Lock()
	v.closing = true
	v.mu.Unlock()
	v.cancel()
}

// Wait returns when nothing of the inventory runs any more. The backends must have been
// closed: that ends their events.
func (v *Inventory) Wait() { v.wg.Wait() }

// Get returns the entry of a name; false when nothing is known of it.
func (v *Inventory) Get(name string) (*Entry, bool) {
	if c := (*v.cells.Load())[name]; c != nil {
		return c.entry.Load(), true
	}
	return nil, false
}

// List returns all entries, in no particular order.
func (v *Inventory) List() []*Entry {
	cells := *v.cells.Load()
	list := make([]*Entry, 0, len(cells))
	for _, c := range cells {
		list = append(list, c.entry.Load())
	}
	return list
}

// Silent returns why a backend could not be asked; nil when it could.
func (v *Inventory) Silent(backend string) *problem.Error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.silent[backend]
}

// AnySilent reports whether one of the backends could not be asked.
func (v *Inventory) AnySilent() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, why := range v.silent {
		if why != nil {
			return true
		}
	}
	return false
}

// edit replaces the entry of a name by a changed copy. mu is held.
func (v *Inventory) edit(name string, change func(*Entry)) {
	if e, ok := v.Get(name); ok {
		next := *e
		change(&next)
		(*v.cells.Load())[name].entry.Store(&next)
		return
	}
	next := Entry{Name: name, Status: backends.Status{Name: name, State: backends.Absent}}
	change(&next)
	c := &cell{}
	c.entry.Store(&next)
	v.replace(func(cells map[string]*cell) { cells[name] = c })
}

// replace changes the set of names. mu is held.
func (v *Inventory) replace(change func(map[string]*cell)) {
	before := *v.cells.Load()
	next := make(map[string]*cell, len(before)+1)
	for name, c := range before {
		next[name] = c
	}
	change(next)
	v.cells.Store(&next)
}

// Drop removes the entry of a name of which there is nothing.
func (v *Inventory) Drop(name string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if e, ok := v.Get(name); ok && e.empty() {
		v.replace(func(cells map[string]*cell) { delete(cells, name) })
	}
}

// lockFiles excludes others from the machine directory and the record of a name.
func (v *Inventory) lockFiles(name string) (unlock func()) {
	mu := &v.files[maphash.String(v.seed, name)%uint64(len(v.files))]
	mu.Lock()
	return mu.Unlock
}
