// Package qemu is the embedded backend: it runs every VM as a QEMU process of
// the user, without root, libvirt or any other daemon.
//
// # How it works
//
// A VM is a directory (files.go names its files) and, while it runs, a process.
// QEMU is started paused, in a session of its own, with three listening
// sockets that we opened for it: QMP, the guest agent's channel and the serial
// console. So we are connected before the guest's first instruction, nothing is
// polled, and a QEMU that cannot start is seen as the end of a connection. Once
// the process is on record ([record]) the virtual CPUs are let go.
//
// The sockets are in the VM's directory (sockets.go): no runtime directory that is
// lost, and no daemon of another session, loses the VM.
//
// State comes from QMP events and from a pidfd. The process does not depend on
// us: after any kind of end of a daemon, the next [New] finds the
// record, proves that the process is the same one (boot id and start time) and
// adopts it. A flock in the VM's directory keeps a second daemon away. A QEMU that
// does not answer then, because it was stopped or waits for a disk of the host, is
// tried again until it does (attend.go). Every command to QEMU has a limit, and Kill
// and Destroy get past what waits for it.
//
// # What isolates the guest
//
// QEMU runs under its own seccomp sandbox: no new processes, no new privileges.
// It has no network but a wire to a process of ours (package netstack), which
// decides outside the guest what that reaches: never the host's loopback, and
// with Spec.Isolation neither the host nor private networks; root in the guest
// cannot change that. Inbound is one port on 127.0.0.1. The process is this program started
// again; it ends with its QEMU and outlives the daemon like it. No device, bridge or
// firewall rule of the host is touched.
//
// A VM on a bridge of the host is on that network: nothing here isolates it.
//
// The boot disk of an immutable VM is a new overlay at every start, as are its
// UEFI variables: what root in the guest writes to it does not survive.
package qemu

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/host"
	"github.com/nixvm/nixvm/backends/internal/qemuimg"
	"github.com/nixvm/nixvm/backends/internal/vfio"
	"github.com/nixvm/nixvm/internal/paths"
	"github.com/nixvm/nixvm/internal/problem"
)

// Config says how to run VMs. Only Name and Layout are required.
type Config struct {
	Name   string // configured name of the backend
	Layout paths.Layout
	// Accel is "auto" (also ""), "kvm" or "tcg". NIXVM_ACCEL in the environment
	// wins over it.
	Accel string
	// DefaultNetwork is a bridge for the machines that name no network; otherwise they
	// have a network process each.
	DefaultNetwork backends.Network
	// QEMU, QemuImg and BridgeHelper are programs, looked up in PATH; empty
	// means qemu-system-x86_64, qemu-img and the usual places of the helper.
	QEMU, QemuImg, BridgeHelper string
	// Firmware is an UEFI code file and its template of variables; empty means
	// the usual places.
	Firmware Firmware
	// PCI is the host whose PCI devices are passed through; zero means this one.
	PCI vfio.Host
	Log *slog.Logger // nil = discard
}

// Backend implements backends.Backend.
type Backend struct {
	name     string
	layout   paths.Layout
	programs programs
	firmware Firmware
	img      *qemuimg.Tool
	accel    *host.Accelerator
	log      *slog.Logger
	events   *backends.Queue
	limits   limits
	network  backends.Network // of machines that name none
	bridges  atomic.Bool      // the bridge helper was there when it was looked for last
	// at is called at the points where a crash would leave something half done.
	// Tests die there; in a daemon it is nil.
	at func(point string)

	pci     vfio.Host
	claimMu sync.Mutex       // held while it is looked who has a device
	claims  map[string][]int // IOMMU groups of VMs that are being started; guarded by claimMu

	ctx       context.Context // ends with Close
	cancel    context.CancelFunc
	attending sync.WaitGroup // goroutines of attend

	mu     sync.Mutex // guards vms, closed
	vms    map[string]*vm
	closed bool
}

var _ backends.Backend = (*Backend)(nil)

// programs are the external programs; each may be missing.
type programs struct {
	qemu, img, bridgeHelper string
}

// New opens the backend, removes what a crash left half made, and adopts the
// VMs that run. A VM that cannot be adopted is logged and shows in List; it
// does not affect the others. Missing programs show in Check.
func New(c Config) (*Backend, error) { return open(c, usualLimits) }

func open(c Config, l limits) (*Backend, error) {
	b := &Backend{
		name: c.Name, layout: c.Layout, firmware: c.Firmware, pci: c.PCI, log: c.Log,
		programs: programs{
			qemu:         orDefault(c.QEMU, "qemu-system-x86_64"),
			img:          orDefault(c.QemuImg, "qemu-img"),
			bridgeHelper: c.BridgeHelper,
		},
		vms: map[string]*vm{}, claims: map[string][]int{}, limits: l, network: c.DefaultNetwork.Or(backends.UserNetwork),
	}
	if b.name == "" {
		b.name = "qemu"
	}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	b.log = b.log.With("backend", b.name)
	b.img = qemuimg.New(func() (string, error) { return b.program(b.programs.img) })
	var err error
	find := func(context.Context) (string, error) { return b.program(b.programs.qemu) }
	if b.accel, err = host.NewAccelerator(c.Accel, find, b.layout.State, b.log); err != nil {
		return nil, err
	}
	for _, dir := range []string{b.layout.VMs(), b.layout.Runtime} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("qemu backend: %w", err)
		}
	}
	b.events = backends.NewQueue()
	b.bridges.Store(b.findBridgeHelper() != "")
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.sweep()
	b.adoptAll()
	return b, nil
}

func orDefault(s, otherwise string) string {
	if s != "" {
		return s
	}
	return otherwise
}

// Name is the configured name.
func (b *Backend) Name() string { return b.name }

// Type is "qemu".
func (b *Backend) Type() string { return "qemu" }

// Events delivers what happens; see backends.Backend.
func (b *Backend) Events() <-chan backends.Event { return b.events.Out() }

// Mark puts a mark into the stream of events; see backends.Backend.
func (b *Backend) Mark(number uint64) { b.events.Mark(number) }

// Close lets go of every VM; they run on.
func (b *Backend) Close() error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil
	}
	b.closed = true
	all := make([]*vm, 0, len(b.vms))
	for _, v := range b.vms {
		all = append(all, v)
	}
	b.mu.Unlock()
	b.cancel()
	b.attending.Wait()
	for _, v := range all {
		v.release()
	}
	b.events.Close()
	return nil
}

// program finds one of the external programs, or says how to get it.
func (b *Backend) program(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		return path, nil
	}
	return "", problem.New(problem.BackendMissing, "%s is not installed", name).WithHint("%s", installHint)
}

const installHint = "Debian, Ubuntu: sudo apt install qemu-system-x86 qemu-utils ovmf; " +
	"Fedora: sudo dnf install qemu-system-x86 qemu-img edk2-ovmf; Nix: nix profile install nixpkgs#qemu"

// reached marks a point where a crash matters; see Backend.at.
func (b *Backend) reached(point string) {
	if b.at != nil {
		b.at(point)
	}
}

// Points of reached.
const (
	createFilled   = "create: all files are made"
	startSpawned   = "start: QEMU runs and is not on record"
	startRecorded  = "start: the virtual CPUs still wait"
	snapshotFrozen = "snapshot: the guest is frozen"
	destroyRenamed = "destroy: the directory has its last name"
)

// errClosed is returned by operations on a closed Backend.
var errClosed = errors.New("the qemu backend is closed")

// wait blocks until ch is closed or ctx is done.
func wait(ctx context.Context, ch <-chan struct{}) error {
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
