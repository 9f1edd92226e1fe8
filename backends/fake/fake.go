// Package fake is a backend without virtual machines, for tests of what stands
// above backends. It keeps the contract of backends.Backend, and its state in
// files, so that a test may kill the process and open it again: VMs "run" on,
// as real ones do. The guest is one string, the content of its state disk, and
// an SSH server that proves the host key and lets nobody in.
package fake

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/atomicfile"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
)

// Config says where the state lies and which host key a guest has.
type Config struct {
	Name    string
	Dir     string
	Fixed   bool // its guests cannot move
	Limit   backends.Limits
	HostKey func(machine string) (ssh.Signer, error)
	// Fault, if set, is asked before every mutating method ("create", "start",
	// ...) and its error is the method's.
	Fault func(method, machine string) error
	// Lost, if set, is asked when a mutating method has done its work, and its
	// error is the method's: the answer of the backend was lost.
	Lost func(method, machine string) error
}

// lost is what the caller hears of a method that has done its work.
func (b *Backend) lost(method, name string) error {
	if b.config.Lost == nil {
		return nil
	}
	return b.config.Lost(method, name)
}

// Backend implements backends.Backend.
type Backend struct {
	config Config
	events chan backends.Event

	mu      sync.Mutex
	servers map[string]net.Listener
	clocks  map[string]time.Duration // how far guests are behind
	asked   func(context.Context)    // called before a clock is compared
	starts  bool                     // new guests start with their host

	pending  []string              // files of an identity that a renewal leaves for the next boot
	renewing func(context.Context) // called before a renewal
	closed   bool
}

var (
	_ backends.Backend     = (*Backend)(nil)
	_ backends.Conditional = (*Backend)(nil)
	_ backends.Snapshotter = (*Backend)(nil)
	_ backends.Cloner      = (*Backend)(nil)
	_ backends.Suspender   = (*Backend)(nil)
	_ backends.Autostarter = (*Backend)(nil)
	_ backends.LimitedHost = (*Backend)(nil)
	_ backends.Keeper      = (*Backend)(nil)
)

// guest is the content of one state file.
type guest struct {
	Status    backends.Status
	Content   string
	Disk      int64
	Autostart bool
	Snapshots []snapshot
	Kept      backends.Kept
}

type snapshot struct {
	backends.Snapshot
	Content string
}

// New opens the backend.
func New(c Config) *Backend {
	return &Backend{config: c, events: make(chan backends.Event, 4096), servers: map[string]net.Listener{}}
}

// Name of the backend.
func (b *Backend) Name() string { return b.config.Name }

// Type is "fake".
func (b *Backend) Type() string { return "fake" }

// Offers hides migrations where they are configured away.
func (b *Backend) Offers(optional any) bool {
	_, migrates := optional.(*backends.Migrator)
	return !migrates || !b.config.Fixed
}

// SnapshotsLive holds.
func (b *Backend) SnapshotsLive() bool { return true }

// ClonesSnapshots holds.
func (b *Backend) ClonesSnapshots() bool { return true }

// Directory has the state files; see backends.FileHost.
func (b *Backend) Directory(string) string { return b.config.Dir }

// Limits of its host.
func (b *Backend) Limits(context.Context) backends.Limits { return b.config.Limit }

// Check finds nothing.
func (b *Backend) Check(context.Context) []backends.Finding { return nil }

func (b *Backend) path(name string) string { return filepath.Join(b.config.Dir, name+".json") }

func (b *Backend) load(name string) (*guest, error) {
	content, err := os.ReadFile(b.path(name))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var g guest
	return &g, json.Unmarshal(content, &g)
}

func (b *Backend) save(name string, g *guest) error {
	content, err := json.Marshal(g)
	if err != nil {
		return err
	}
	return atomicfile.Write(b.path(name), content, 0o600)
}

// change is every mutating method: fault, load, edit, save, event.
func (b *Backend) change(method, name string, edit func(*guest) error) error {
	if b.config.Fault != nil {
		if err := b.config.Fault(method, name); err != nil {
			return err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	g, err := b.load(name)
	if err != nil {
		return err
	}
	if g == nil {
		return problem.New(problem.VMNotFound, "no VM %s", name)
	}
	before := g.Status
	if err := edit(g); err != nil {
		return err
	}
	if err := b.save(name, g); err != nil {
		return err
	}
	if (g.Status.State != before.State || g.Status.Cut != before.Cut) && !b.closed {
		b.events <- backends.Event{Kind: backends.StateChanged, Status: g.Status}
	}
	return b.lost(method, name)
}

// List returns all guests.
func (b *Backend) List(ctx context.Context) ([]backends.Status, error) {
	files, err := filepath.Glob(filepath.Join(b.config.Dir, "*.json"))
	if err != nil {
		return nil, err
	}
	var list []backends.Status
	for _, f := range files {
		st, err := b.Status(ctx, strings.TrimSuffix(filepath.Base(f), ".json"))
		if err != nil {
			return nil, err
		}
		list = append(list, st)
	}
	return list, nil
}

// Status of one guest.
func (b *Backend) Status(_ context.Context, name string) (backends.Status, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	g, err := b.load(name)
	if err != nil || g == nil {
		return backends.Status{Name: name, State: backends.Absent}, err
	}
	return g.Status, nil
}

// Create makes a stopped guest.
func (b *Backend) Create(ctx context.Context, spec backends.Spec, report progress.Reporter) error {
	return b.place(ctx, "create", spec, report, func() (string, error) { return "", nil })
}

// Clone makes a stopped guest with the content of another one.
func (b *Backend) Clone(ctx context.Context, from backends.Source, spec backends.Spec, report progress.Reporter) error {
	return b.place(ctx, "clone", spec, report, func() (string, error) {
		g, err := b.load(from.Name)
		switch {
		case err != nil:
			return "", err
		case g == nil:
			return "", problem.New(problem.VMNotFound, "no VM %s", from.Name)
		case g.Status.State != backends.Stopped && g.Status.State != backends.Crashed:
			return "", problem.New(problem.VMRunning, "%s runs", from.Name)
		case spec.DiskBytes < g.Disk:
			return "", problem.New(problem.SizeInvalid, "the disk of %s is larger", from.Name)
		case from.Snapshot == "":
			return g.Content, nil
		}
		i := find(g, from.Snapshot)
		if i < 0 {
			return "", problem.New(problem.SnapshotNotFound, "%s has no snapshot %s", from.Name, from.Snapshot)
		}
		return g.Snapshots[i].Content, nil
	})
}

// place makes a stopped guest; content is asked with mu held.
func (b *Backend) place(ctx context.Context, method string, spec backends.Spec, report progress.Reporter, content func() (string, error)) error {
	if b.config.Fault != nil {
		if err := b.config.Fault(method, spec.Name); err != nil {
			return err
		}
	}
	report.Report(progress.Update{Vertex: "disk", Current: 1, Total: 1})
	b.mu.Lock()
	defer b.mu.Unlock()
	if g, err := b.load(spec.Name); err != nil || g != nil {
		return errors.Join(err, problem.New(problem.VMExists, "there is a VM %s", spec.Name))
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	made, err := content()
	if err != nil {
		return err
	}
	return errors.Join(b.save(spec.Name, &guest{
		Status: backends.Status{Name: spec.Name, State: backends.Stopped}, Disk: spec.DiskBytes, Content: made, Autostart: spec.Autostart,
		Kept: keptOf(spec),
	}), b.lost(method, spec.Name))
}

func keptOf(spec backends.Spec) backends.Kept {
	return backends.Kept{
		UUID: spec.UUID, MAC: spec.MAC, Mutable: spec.Mutable, ImageID: spec.Image.ID, ImageDisk: spec.Image.Disk,
		DiskBytes: spec.DiskBytes, Identity: spec.Identity,
	}
}

// Kept tells what the spec said at the last start.
func (b *Backend) Kept(_ context.Context, name string) (backends.Kept, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	g, err := b.load(name)
	if err == nil && g == nil {
		err = problem.New(problem.VMNotFound, "no VM %s", name)
	}
	if err != nil {
		return backends.Kept{}, err
	}
	return g.Kept, nil
}

// Destroy removes a guest.
func (b *Backend) Destroy(_ context.Context, name string) error {
	if b.config.Fault != nil {
		if err := b.config.Fault("destroy", name); err != nil {
			return err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hangUp(name)
	return errors.Join(atomicfile.Remove(b.path(name)), b.lost("destroy", name))
}

// Start runs a guest.
func (b *Backend) Start(_ context.Context, spec backends.Spec) error {
	return b.change("start", spec.Name, func(g *guest) error {
		if spec.DiskBytes < g.Disk {
			return problem.New(problem.SizeInvalid, "the disk of %s cannot shrink", spec.Name)
		}
		g.Disk, g.Autostart, g.Kept = spec.DiskBytes, spec.Autostart, keptOf(spec)
		if g.Status.State == backends.Stopped || g.Status.State == backends.Crashed {
			g.Status.State, g.Status.Started, g.Status.Accel = backends.Running, time.Now(), "none"
		}
		return nil
	})
}

func (b *Backend) off(method, name string) error {
	return b.change(method, name, func(g *guest) error {
		b.hangUp(name)
		g.Status = backends.Status{Name: name, State: backends.Stopped}
		return nil
	})
}

// Shutdown stops a guest.
func (b *Backend) Shutdown(ctx context.Context, name string) error {
	if st, err := b.Status(ctx, name); err == nil && st.State == backends.Unknown {
		return problem.New(problem.BackendUnreachable, "%s is out of reach", name).WithHint("use its SSH")
	}
	return b.off("shutdown", name)
}

// Lose takes a guest that runs out of the backend's reach. Its sshd lets admin in now,
// to power it off.
func (b *Backend) Lose(name string) error {
	return b.change("lose", name, func(g *guest) error {
		g.Status.State = backends.Unknown
		return nil
	})
}

// Kill stops a guest.
func (b *Backend) Kill(_ context.Context, name string) error { return b.off("kill", name) }

// Suspend a guest.
func (b *Backend) Suspend(_ context.Context, name string) error {
	return b.swap("suspend", name, backends.Running, backends.Suspended)
}

// Resume a guest, and set its clock.
func (b *Backend) Resume(_ context.Context, name string) error {
	err := b.swap("resume", name, backends.Suspended, backends.Running)
	if err == nil {
		b.FallBehind(name, -b.Behind(name))
	}
	return err
}

func (b *Backend) swap(method, name string, from, to backends.State) error {
	return b.change(method, name, func(g *guest) error {
		switch g.Status.State {
		case from, to:
			g.Status.State = to
			return nil
		}
		return problem.New(problem.VMNotRunning, "%s does not run", name)
	})
}

// AutostartDefault is what SetAutostartDefault was given.
func (b *Backend) AutostartDefault() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.starts
}

// SetAutostartDefault is a configuration by which new guests start with their host.
func (b *Backend) SetAutostartDefault(on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.starts = on
}

// SetAutostart notes what it is told.
func (b *Backend) SetAutostart(_ context.Context, name string, on bool) error {
	return b.change("autostart", name, func(g *guest) error { g.Autostart = on; return nil })
}

// Autostart is what the host of a guest has been told.
func (b *Backend) Autostart(name string) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	g, err := b.load(name)
	if err != nil || g == nil {
		return false, err
	}
	return g.Autostart, nil
}

// Crash ends a guest as its process would.
func (b *Backend) Crash(name, reason string) error {
	return b.change("crash", name, func(g *guest) error {
		b.hangUp(name)
		g.Status = backends.Status{Name: name, State: backends.Crashed, Reason: reason}
		return nil
	})
}

// Cut takes a guest's network away, also that of its next start, or gives it back.
func (b *Backend) Cut(name string, cut bool) error {
	return b.change("cut", name, func(g *guest) error {
		b.hangUp(name)
		g.Status.Cut = cut
		return nil
	})
}

// Write sets the content of the guest's disk.
func (b *Backend) Write(name, content string) error {
	return b.change("write", name, func(g *guest) error { g.Content = content; return nil })
}

// Content of the guest's disk.
func (b *Backend) Content(name string) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	g, err := b.load(name)
	if err != nil || g == nil {
		return "", err
	}
	return g.Content, nil
}

// Snapshots of a guest.
func (b *Backend) Snapshots(_ context.Context, name string) ([]backends.Snapshot, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	g, err := b.load(name)
	if err != nil {
		return nil, err
	}
	if g == nil {
		return nil, problem.New(problem.VMNotFound, "no VM %s", name)
	}
	list := make([]backends.Snapshot, 0, len(g.Snapshots))
	for _, s := range g.Snapshots {
		list = append(list, s.Snapshot)
	}
	return list, nil
}

// CreateSnapshot keeps the content.
func (b *Backend) CreateSnapshot(_ context.Context, name string, req backends.SnapshotRequest) (backends.Snapshot, error) {
	made := backends.Snapshot{Name: req.Name, Description: req.Description, Created: time.Now(), Frozen: true}
	err := b.change("snapshot", name, func(g *guest) error {
		if find(g, req.Name) >= 0 {
			return problem.New(problem.SnapshotExists, "%s has a snapshot %s", name, req.Name)
		}
		g.Snapshots = append(g.Snapshots, snapshot{Snapshot: made, Content: g.Content})
		if req.PowerOff {
			b.hangUp(name)
			g.Status = backends.Status{Name: name, State: backends.Stopped}
		}
		return nil
	})
	return made, err
}

func find(g *guest, name string) int {
	return slices.IndexFunc(g.Snapshots, func(s snapshot) bool { return s.Name == name })
}

// RestoreSnapshot brings the content back.
func (b *Backend) RestoreSnapshot(_ context.Context, name, snap string) error {
	return b.change("restore", name, func(g *guest) error {
		i := find(g, snap)
		switch {
		case i < 0:
			return problem.New(problem.SnapshotNotFound, "%s has no snapshot %s", name, snap)
		case g.Status.State != backends.Stopped && g.Status.State != backends.Crashed:
			return problem.New(problem.VMRunning, "%s runs", name)
		}
		g.Content = g.Snapshots[i].Content
		return nil
	})
}

// DeleteSnapshot forgets one.
func (b *Backend) DeleteSnapshot(_ context.Context, name, snap string) error {
	return b.change("delete-snapshot", name, func(g *guest) error {
		i := find(g, snap)
		if i < 0 {
			return problem.New(problem.SnapshotNotFound, "%s has no snapshot %s", name, snap)
		}
		g.Snapshots = slices.Delete(g.Snapshots, i, i+1)
		return nil
	})
}

// Events of the guests.
func (b *Backend) Events() <-chan backends.Event { return b.events }

// Mark puts a mark into the stream of events.
func (b *Backend) Mark(number uint64) { b.Tell(backends.Event{Kind: backends.Marked, Mark: number}) }

// Tell puts an event into the stream that no guest has caused.
func (b *Backend) Tell(e backends.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.events <- e
	}
}

// Close lets go; guests run on.
func (b *Backend) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for name := range b.servers {
		b.hangUp(name)
	}
	if !b.closed {
		b.closed = true
		close(b.events)
	}
	return nil
}
