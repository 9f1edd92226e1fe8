// Package libvirt is the backend that runs VMs as domains of a libvirtd: the
// one of this host (qemu:///system, qemu:///session) or of another
// (qemu+ssh://).
//
// # How it works
//
// One connection ([link]) is kept open, made anew when it breaks, and carries
// calls and events. What List and Status answer comes from memory ([domain]),
// which the events keep true; while libvirtd cannot be asked, every VM is
// Unknown. A VM of ours is a domain whose metadata says so ([mark]): machine
// name, and owner, which is this installation of nixvm. Domains without that
// mark, or with another owner, are never touched, and two users of one host
// may each have a machine of the same name. Nothing about a VM is kept beside
// libvirt: the next daemon reads it from the domain.
//
// The domain is defined anew at every start (xml.go), with the machine as it is
// then. Disks come from a [storage]: files of the user for a libvirtd on this
// host, volumes of a pool elsewhere. QEMU runs as the user who owns the files
// (a static DAC label), so libvirt changes the owner of none of them.
//
// # Snapshots
//
// They are qcow2 snapshots of the state disk. libvirt 9 refuses to take one of
// a running domain without its memory, so QEMU's monitor takes it, with the
// guest frozen, and libvirt is told afterwards (redefine): virsh lists it,
// reverts to it and deletes it like its own. Those that virsh made are listed
// here. snapshot.go has the details.
package libvirt

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/cond"
	"github.com/nixvm/nixvm/backends/internal/console"
	"github.com/nixvm/nixvm/backends/internal/ctxlock"
	"github.com/nixvm/nixvm/backends/internal/host"
	"github.com/nixvm/nixvm/backends/internal/owner"
	"github.com/nixvm/nixvm/backends/internal/qemuimg"
	"github.com/nixvm/nixvm/internal/paths"
)

// Config says which libvirtd, and how to use it. Only Name and Layout are required.
type Config struct {
	Name   string // configured name of the backend
	Layout paths.Layout
	// URI is qemu:///system (also ""), qemu:///session or
	// qemu+ssh://[user@]host[:port]/system, with ?socket=PATH for a socket at an
	// unusual place.
	URI string
	// Network is the libvirt network of VMs without a bridge; empty = "default".
	// Sessions have none: their VMs get a forwarded port.
	Network string
	// DefaultNetwork is a bridge for the machines that name no network; otherwise they
	// are in Network.
	DefaultNetwork backends.Network
	// Pool is the storage pool for disks and images; empty = files of the user
	// where libvirtd is on this host, "nixvm" elsewhere, which is made.
	Pool string
	// Accel is "auto" (also ""), "kvm" or "tcg". NIXVM_ACCEL in the environment
	// wins over it.
	Accel string
	// Autostart makes the host start the VMs that are created from now on, unless they
	// are told otherwise.
	Autostart bool
	// MigrateURI is where other hosts reach this one with a migration, such as
	// tcp://10.0.0.2; empty = the name that the host itself has.
	MigrateURI string
	// MigrateUnsafe migrates from this host also where libvirt does not know the
	// pool's file system for one that hosts can share.
	MigrateUnsafe bool
	Log           *slog.Logger // nil = discard
}

// Backend implements backends.Backend.
type Backend struct {
	config  Config
	target  target
	owner   owner.Owner
	link    *link
	remote  *remote // nil: libvirtd is on this host
	storage storage
	filter  filter // isolation on the host; may be nil
	img     *qemuimg.Tool
	accel   *host.Accelerator
	events  *backends.Queue
	log     *slog.Logger
	limits  limits

	workers   sync.WaitGroup // of connections
	closing   sync.Once
	ops       ctxlock.ByName // of VMs: operations
	consoles  console.OnDemand
	reserving ctxlock.Mutex // held while an address is picked
	noIOMMU   atomic.Bool   // libvirtd has said that its host has none

	mu        sync.Mutex // guards the rest
	lastQuery query      // of the state of a domain
	filled    bool       // libvirtd has answered once
	epoch     int        // how often the connection was lost, or not made
	down      error      // why it is out of reach; nil also before the first attempt
	domains   map[string]*domain
	gone      map[string]query // when VMs were found to be gone
	changed   *cond.Cond       // of domains
}

// New opens the backend and returns at once: whether libvirtd answers shows in
// Check, and in what List says.
func New(c Config) (*Backend, error) { return open(c, usualLimits) }

func open(c Config, l limits) (*Backend, error) {
	if c.Name == "" {
		c.Name = "libvirt"
	}
	if c.URI == "" {
		c.URI = "qemu:///system"
	}
	if c.Network == "" {
		c.Network = "default"
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	t, err := parseURI(c.URI)
	if err != nil {
		return nil, err
	}
	b := &Backend{
		config: c, target: t, limits: l, log: c.Log.With("backend", c.Name),
		owner: owner.Of(c.Layout.State), events: backends.NewQueue(),
		domains: map[string]*domain{}, gone: map[string]query{},
		img: qemuimg.New(findQemuImg),
	}
	if b.accel, err = host.NewAccelerator(c.Accel, b.emulator, c.Layout.State, b.log); err != nil {
		return nil, err
	}
	dial, err := b.dialer()
	if err != nil {
		return nil, fmt.Errorf("backend %s: %w", c.Name, err)
	}
	b.storage = b.chooseStorage()
	if !t.Session {
		b.filter = hostFilter{b}
	}
	closed := make(chan struct{})
	b.changed = cond.New(&b.mu, closed, errClosed)
	b.link = newLink(b, dial, closed)
	return b, nil
}

// Name is the configured name.
func (b *Backend) Name() string { return b.config.Name }

// Type is "libvirt".
func (b *Backend) Type() string { return "libvirt" }

// Events delivers what happens; see backends.Backend.
func (b *Backend) Events() <-chan backends.Event { return b.events.Out() }

// Mark puts a mark into the stream of events; see backends.Backend.
func (b *Backend) Mark(number uint64) { b.events.Mark(number) }

// Close lets go of libvirtd; VMs run on.
func (b *Backend) Close() error {
	b.closing.Do(func() {
		b.consoles.Close()
		b.link.close()
		if b.remote != nil {
			b.remote.close()
		}
		b.workers.Wait()
		b.events.Close()
	})
	return nil
}
