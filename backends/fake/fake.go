// Package fake is a backend without virtual machines, for tests of what stands
// above backends. It keeps the contract of backends.Backend and passes the
// conformance suite. Its state is in files, so that a test may kill the process and
// open it again: VMs "run" on, as real ones do. The guest is one string, the content
// of its state disk, and an SSH server that proves the host key and accepts the login
// of admin only to power off a guest that is out of reach, or where Config.Shell is set.
//
// There are two kinds. The local one acts at once, as a hypervisor on this host
// does. The remote one ([Config].Remote) is a slow cluster in another place: each
// change is a task with an id, which is on record before it acts and goes on when its
// client dies; files of this host mean nothing to it; the answer of a request may be
// lost after the task has begun; and it goes away and comes back.
package fake

import (
	"context"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/nixvm/nixvm/backends"
)

// Config says where the state lies and which host key a guest has.
type Config struct {
	Name    string
	Dir     string
	Remote  *Remote // nil: it is local
	Fixed   bool    // its guests cannot move
	Limit   backends.Limits
	HostKey func(machine string) (ssh.Signer, error)
	// Shell, if set, lets admin in and answers a command, given the image that the
	// guest has booted; ok is false for a guest whose SSH server does not come up.
	Shell func(machine, image, command string) (output string, ok bool)
	// Exec, if set, lets the account user in and runs its commands; it returns their exit
	// code. ctx ends with the connection.
	Exec func(ctx context.Context, command string, in io.Reader, out, errs io.Writer) (status int)
	// Fault, if set, is asked before every mutating method ("create", "start",
	// ...) and its error is the method's.
	Fault func(method, machine string) error
	// Lost, if set, is asked when a mutating method has done its work, and its
	// error is the method's: the backend could not tell how it ended.
	Lost func(method, machine string) error
}

// Backend implements backends.Backend.
type Backend struct {
	config  Config
	node    *node
	cluster *cluster // nil: it is local
	events  *backends.Queue

	mu      sync.Mutex
	servers map[string]net.Listener
	clocks  map[string]time.Duration // how far guests are behind
	asked   func(context.Context)    // called before a clock is compared
	free    *int64                   // bytes for disks, see Space; nil = plenty
	devices []string                 // PCI devices that guests can have
	starts  bool                     // new guests start with their host
	hidden  map[any]bool             // optional interfaces that are not offered, as Offers gets them

	pending  []string              // files of an identity that a renewal leaves for the next boot
	renewing func(context.Context) // called before a renewal
	growing  func(context.Context) // called before a disk grows
	measured int                   // calls of DiskUsage
	closed   bool
}

var (
	_ backends.Backend     = (*Backend)(nil)
	_ backends.Conditional = (*Backend)(nil)
	_ backends.Snapshotter = (*Backend)(nil)
	_ backends.Cloner      = (*Backend)(nil)
	_ backends.Exporter    = (*Backend)(nil)
	_ backends.Importer    = (*Backend)(nil)
	_ backends.Suspender   = (*Backend)(nil)
	_ backends.Autostarter = (*Backend)(nil)
	_ backends.LimitedHost = (*Backend)(nil)
	_ backends.Keeper      = (*Backend)(nil)
	_ backends.FileHost    = (*Backend)(nil)
	_ backends.ImageHost   = (*Backend)(nil)
	_ backends.Shelver     = (*Backend)(nil)
	_ backends.Renamer     = (*Backend)(nil)
	_ backends.PCIHost     = (*Backend)(nil)
	_ backends.Allocator   = (*Backend)(nil)

	_ backends.NodeMigrator = (*Backend)(nil)

	_ backends.ImageSwapper = (*Backend)(nil)
	_ backends.DiskRewriter = (*Backend)(nil)
)

// New opens the backend. Tasks that an earlier process has left go on.
func New(c Config) *Backend {
	b := &Backend{config: c, events: backends.NewQueue(), servers: map[string]net.Listener{}, hidden: map[any]bool{}}
	b.node = &node{dir: c.Dir, changed: b.changed}
	if c.Remote != nil {
		b.cluster = openCluster(*c.Remote, b.node)
		b.cluster.resume() // its tasks tell b what they change
	}
	return b
}

// Name of the backend.
func (b *Backend) Name() string { return b.config.Name }

// Type is "fake".
func (b *Backend) Type() string { return "fake" }

// Offers hides migrations where they are configured away, and what Hide was called
// with. A remote backend has no files here.
func (b *Backend) Offers(optional any) bool {
	b.mu.Lock()
	hidden, devices := b.hidden[optional], len(b.devices) > 0
	b.mu.Unlock()
	if hidden {
		return false
	}
	switch optional.(type) {
	case *backends.Migrator:
		return !b.config.Fixed
	case *backends.FileHost:
		return b.cluster == nil
	case *backends.ImageHost, *backends.Allocator:
		return b.cluster != nil
	case *backends.NodeMigrator:
		return b.cluster != nil && len(b.cluster.Nodes) > 1
	case *backends.PCIHost:
		return devices
	}
	return true
}

// SnapshotsLive holds.
func (b *Backend) SnapshotsLive() bool { return true }

// ClonesSnapshots holds.
func (b *Backend) ClonesSnapshots() bool { return true }

// Directory has the state files; see backends.FileHost.
func (b *Backend) Directory(backends.Ref) string { return b.config.Dir }

// Limits of its host.
func (b *Backend) Limits(context.Context) backends.Limits { return b.config.Limit }

// Check says whether a remote backend is there.
func (b *Backend) Check(ctx context.Context) []backends.Finding {
	if b.cluster == nil {
		return nil
	}
	if err := b.cluster.trip(ctx); err != nil {
		return []backends.Finding{{Code: "fake.unreachable", Severity: backends.Fatal, Message: err.Error(), Fix: "wait until it is back"}}
	}
	return nil
}

// changed passes on what has become of a guest. The node is locked.
func (b *Backend) changed(e backends.Event) {
	if b.cluster == nil || b.cluster.tells(e) {
		b.events.Push(e)
	}
}

// Events of the guests.
func (b *Backend) Events() <-chan backends.Event { return b.events.Out() }

// Mark puts a mark into the stream of events.
func (b *Backend) Mark(number uint64) { b.Tell(backends.Event{Kind: backends.Marked, Mark: number}) }

// Tell puts an event into the stream that no guest has caused.
func (b *Backend) Tell(e backends.Event) { b.events.Push(e) }

// Close lets go; guests run on.
func (b *Backend) Close() error {
	b.mu.Lock()
	closed := b.closed
	b.closed = true
	for name := range b.servers {
		b.hangUp(name)
	}
	b.mu.Unlock()
	if closed {
		return nil
	}
	if b.cluster != nil {
		b.cluster.close()
	}
	b.events.Close()
	return nil
}
