// Package backends defines the interfaces of backends, which run VMs: a small one ([Backend]) with the
// life cycle, the state and the events of VMs, which qemu (embedded) and libvirt
// implement, and optional ones for the rest ([Snapshotter], [Cloner], [Suspender],
// [Console], [Autostarter], [Migrator], [ImageHost], [BridgeHost] ...), which [As]
// finds. [CapabilitiesOf] derives from them what clients may offer.
//
// backendtest holds the conformance suite that every implementation passes.
package backends

import (
	"context"
	"net/netip"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/progress"
)

// State is the state of one VM as its backend sees it.
type State = api.State

// The states.
const (
	Absent    = api.StateAbsent
	Stopped   = api.StateStopped
	Running   = api.StateRunning
	Suspended = api.StateSuspended
	Crashed   = api.StateCrashed
	Broken    = api.StateBroken
	Unknown   = api.StateUnknown
)

// Spec is everything that a backend needs to realise a machine. The vm package
// builds it anew from the machine directory and the image for every call.
type Spec struct {
	Name      string // machine name, a DNS label
	UUID      string
	MAC       string // aa:bb:cc:dd:ee:ff, lower case
	Mutable   bool   // one read-write disk instead of boot + var
	MemoryMiB int
	VCPUs     int
	DiskBytes int64  // virtual size of the state disk (var, or the only disk when Mutable)
	Bridge    string // host bridge; empty = NAT / user-mode network
	Image     Image
	Identity  []byte // content of the identity medium (ISO 9660)
	// Autostart makes the host of a backend with Autostart start the VM when it
	// boots itself; others leave it aside.
	Autostart bool
	// StaticIP is the address that the guest gives itself; zero = DHCP.
	StaticIP netip.Prefix
	// Isolation is what a backend with HostFirewall keeps from the guest; nil =
	// the guest may reach what its network reaches.
	Isolation *Isolation
	// TCPPorts and UDPPorts are open in the guest's firewall, SSH beside them; for a
	// [PortFirewall].
	TCPPorts, UDPPorts []uint16
	// PCIDevices of the host are for a [PCIHost] only, one hostpci value each.
	PCIDevices []string
	// VMID is for an [Allocator] only: the number that the VM has, or is to get; 0 = it is
	// chosen by the backend when the VM is made, or not known.
	VMID int
}

// Isolation cuts a guest off from private networks, from other guests and from
// the services of its host; root in the guest cannot change that. Replies, and the
// DHCP and DNS service of its own network, are left.
type Isolation struct {
	AllowedCIDRs []netip.Prefix // private networks that it may reach all the same
	Resolvers    []netip.Addr   // DNS servers of its resolv.conf, which it may ask (port 53)
}

// Image is what an image offers: the boot disk and, for direct kernel boot, kernel,
// initrd and command line. How a VM boots is decided by its backend.
type Image struct {
	ID      string
	Disk    string // absolute path on the host of the daemon
	Format  string // "qcow2" or "raw"
	Kernel  string // absolute path; empty = there is none beside the disk
	Initrd  string
	Cmdline string
	// NoBootLoader: the disk has none that UEFI firmware finds; only Kernel boots.
	NoBootLoader bool
}

// Status is what a backend knows of one VM.
type Status struct {
	Name    string
	UUID    string // empty where there is no VM, or its backend cannot tell
	State   State
	Reason  string    // why it is Crashed or Broken, or what the guest asked for; one line
	Started time.Time // zero unless Running or Suspended
	Accel   string    // "kvm", "tcg" or ""; set while it runs
	PID     int       // process on this host, 0 elsewhere
	Node    string    // of the backend, if it has nodes
	Cut     bool      // it runs and its network has failed: its sshd is out of reach until that is back
	Full    bool      // it is Suspended because a write to its disk found the host's storage full; Resume repeats the write
}

// Endpoint is where the guest's sshd can be reached now; a backend leaves Machine empty.
type Endpoint = api.Endpoint

// EventKind is what happened.
type EventKind string

// The kinds of event.
const (
	StateChanged EventKind = "state"  // Status holds the new state
	GuestAgentUp EventKind = "agent"  // the guest agent has opened its port: sshd is near
	Rebooted     EventKind = "reboot" // the guest rebooted by itself
	Repaired     EventKind = "repair" // a damaged file of the VM was made again; Text says which
	Marked       EventKind = "mark"   // what Mark was called with, in its place among the others
	// CapabilitiesChanged: CapabilitiesOf the backend are others than before.
	CapabilitiesChanged EventKind = "capabilities"
)

// Event is a change that a backend reports without polling.
type Event struct {
	Kind   EventKind
	Status Status // of Repaired: the name only; of Marked and CapabilitiesChanged: zero
	Text   string // of Repaired: a sentence for people
	Mark   uint64 // of Marked: the number that Mark was given
}

// Severity ranks a finding.
type Severity = api.Severity

// The severities.
const (
	Fatal   = api.SeverityError   // the backend cannot work
	Warning = api.SeverityWarning // it works, worse
	Info    = api.SeverityInfo
)

// Finding is one result of Check: what is missing and the command that fixes it. A
// backend leaves Area empty.
type Finding = api.Finding

// Backend runs VMs. All methods may be called at once for different VMs; the
// core never calls two mutating methods at once for the same VM, but for Kill and
// Destroy, which get through to a VM on which another one waits and make that
// return. A method given a VM that does not exist, or whose name is another VM's (see
// [Ref]), returns a problem with code vm.not_found unless its comment says otherwise.
//
// A VM may hang, with a disk of its host or for a signal: every method ends with
// its context and, where it asks the VM itself, with a limit of its own
// (backend.unreachable). List, Status and Snapshots do not ask the VM.
//
// What not every backend can do is in optional interfaces, to which the same rules
// apply; ask for them with [As], never with a type assertion.
type Backend interface {
	// Name is the configured name, e.g. "laptop"; Type is "qemu", "libvirt" or "proxmox".
	Name() string
	Type() string

	// Check says what is missing for this backend to work. It starts no VM
	// that outlives it.
	Check(ctx context.Context) []Finding

	// List returns the status of every VM of ours, in any order.
	List(ctx context.Context) ([]Status, error)
	// Status returns the status of one VM; a VM that does not exist is Absent,
	// not an error, and so is one whose name is another VM's.
	Status(ctx context.Context, vm Ref) (Status, error)

	// Create makes the disks and definition without starting. A name in use
	// is refused with vm.exists, whichever VM has it. On error, and on cancellation, nothing
	// that it made is left.
	Create(ctx context.Context, spec Spec, report progress.Reporter) error
	// Destroy ends the VM at once if it runs and removes everything that
	// Create, Clone, Start and the snapshots made. A VM that does not exist, or is
	// half made, is removed as far as it is there: not an error. A namesake stays.
	Destroy(ctx context.Context, vm Ref) error

	// Start boots the VM and returns when the virtual CPUs run. spec may differ
	// from the one of Create in memory, CPUs, identity, and a larger disk
	// (applied before the boot; a smaller one is refused with size.invalid).
	// An immutable VM may also get another image: its boot disk is a new
	// overlay at every start, so nothing that the guest wrote to it survives.
	// A running VM is left alone: not an error.
	Start(ctx context.Context, spec Spec) error
	// Shutdown asks the guest to power off and waits until it has, or until ctx
	// is done (vm.stop_timeout; the VM goes on). A stopped VM is not an error.
	Shutdown(ctx context.Context, vm Ref) error
	// Kill ends the VM at once. A stopped VM is not an error.
	Kill(ctx context.Context, vm Ref) error

	// Endpoint returns where sshd is reachable now. A VM that does not run:
	// vm.not_running.
	Endpoint(ctx context.Context, vm Ref) (Endpoint, error)

	// Events delivers what happens until Close. The channel is drained without
	// delay by the core. It is closed by Close.
	//
	// Marks put the answers of Status in order with the events: an event behind a
	// mark is not older than an answer that was given before the mark was made.
	Events() <-chan Event
	// Mark puts an event of the kind Marked into the stream, behind all events so
	// far. It does not wait for the core to take it, and does nothing after Close.
	Mark(number uint64)
	// Close lets go of everything; VMs run on.
	Close() error
}
