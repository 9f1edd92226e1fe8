package qemu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/host"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/backends/qemu/netstack"
	"github.com/nixvm/nixvm/internal/atomicfile"
	"github.com/nixvm/nixvm/internal/problem"
)

// self is this very program, also after its file was replaced by another version.
const self = "/proc/self/exe"

// network is the process that is a VM's network (package netstack), on its way up.
// Nil is that of a VM on a bridge.
type network struct {
	files vmFiles
	proc  *process
	talk  *os.File // it says a byte when it is there, and is told one when it is on record
}

// DefaultNetwork implements backends.DefaultNetworker.
func (b *Backend) DefaultNetwork() backends.Network { return b.network }

// checkNetwork refuses a network that this host does not have, and an address at
// which no client would find the guest.
func checkNetwork(spec backends.Spec) error {
	if spec.Bridge != "" {
		return host.CheckBridge(spec.Bridge)
	}
	return checkAddress(spec.Name, spec.StaticIP)
}

// checkAddress refuses another static address than the one that the network process
// forwards to; the zero value is DHCP.
func checkAddress(name string, address netip.Prefix) error {
	if a := address.Addr(); a.IsValid() && a != netstack.Guest {
		return problem.New(problem.MachineInvalid, "static_ip: on the network nat of this backend, %s has the address %s, not %s", name, netstack.Guest, a).
			WithHint("remove the file static_ip of the machine, or give it a bridge: nixvmd configure %s --network bridge:INTERFACE", name)
	}
	return nil
}

// CheckAddress implements backends.AddressChecker: a bridge leads to networks that are
// not ours to know.
func (b *Backend) CheckAddress(_ context.Context, vm, bridge string, address netip.Prefix) error {
	if bridge != "" {
		return nil
	}
	return checkAddress(vm, address)
}

// uplink is what a VM's network needs before its QEMU runs: the forwarded port, ours
// from here on, so that it cannot be taken between the choice and the use, or the tap
// device of its bridge. The policy is put down as well.
func (b *Backend) uplink(ctx context.Context, l launch) (port, tap *os.File, err error) {
	if l.spec.Bridge != "" {
		if l.spec.Isolation != nil {
			b.log.Warn("on a bridge, only the VM's own firewall blocks private networks", "vm", l.spec.Name, "bridge", l.spec.Bridge)
		}
		tap, err = b.openTap(ctx, l.spec.Bridge)
		return nil, tap, err
	}
	if port, err = listenPort(l.port); err != nil {
		return nil, nil, err
	}
	if err := writePolicy(l.sockets, l.spec); err != nil {
		port.Close()
		return nil, nil, err
	}
	return port, nil, nil
}

// startNetwork starts the process beside a QEMU that has made its end of the wire.
// It ends when QEMU does, and at once if the daemon dies before recording it.
func startNetwork(f vmFiles, s sockets, name string, qemu *process, port *os.File) (*network, error) {
	policy, err := os.Open(s.path(policyFile))
	if err != nil {
		return nil, fmt.Errorf("network: %w", err)
	}
	defer policy.Close()
	wire, err := openWire(s)
	if err != nil {
		return nil, fmt.Errorf("network: the wire to QEMU: %w", err)
	}
	defer wire.Close()
	if err := os.Remove(s.path(networkSocket)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	usage, err := listen(s.path(networkSocket))
	if err != nil {
		return nil, err
	}
	defer usage.Close()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("network: %w", err)
	}
	n := &network{files: f, talk: os.NewFile(uintptr(pair[0]), "talk")}
	theirs := os.NewFile(uintptr(pair[1]), "talk")
	defer theirs.Close()
	life, err := qemu.dup()
	if err == nil {
		defer life.Close()
		n.proc, err = runNetwork(f, name, policy, wire, port, theirs, usage, life)
	}
	if err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}

// openWire opens the end of the wire that is not QEMU's. One that an earlier process
// has left is replaced: QEMU sends to the socket that has the name.
func openWire(s sockets) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if err := os.Remove(s.path(netWire)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		unix.Close(fd)
		return nil, err
	}
	err = shortly(s.path(netWire), func(path string) error { return unix.Bind(fd, &unix.SockaddrUnix{Name: path}) })
	if err == nil {
		// Connected, it takes nothing from others, and QEMU may have more on its way than
		// net.unix.max_dgram_qlen.
		err = shortly(s.path(qemuWire), func(path string) error { return unix.Connect(fd, &unix.SockaddrUnix{Name: path}) })
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "wire"), nil
}

// runNetwork starts this program again, in a session of its own like QEMU.
func runNetwork(f vmFiles, name string, policy *os.File, inherited ...*os.File) (*process, error) {
	output, err := newLog(f, networkLog)
	if err != nil {
		return nil, err
	}
	defer output.Close()
	cmd := &exec.Cmd{
		Path: self, Args: []string{"nixvmd", netstack.Verb, name}, Dir: f.dir, Env: environment(),
		Stdin: policy, Stdout: output, Stderr: output, ExtraFiles: inherited,
		SysProcAttr: &unix.SysProcAttr{Setsid: true},
	}
	return startProcess(cmd)
}

// listenPort takes a port on 127.0.0.1.
func listenPort(port int) (*os.File, error) {
	l, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return nil, problem.New(problem.PortTaken, "cannot use port %d on 127.0.0.1: %w", port, err).Retry()
	}
	defer l.Close()
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return nil, errors.New("forward a port: no TCP listener")
	}
	return tcp.File()
}

// writePolicy puts down what the guest may reach in this run.
func writePolicy(s sockets, spec backends.Spec) error {
	text, err := json.MarshalIndent(netstack.Policy{Isolation: spec.Isolation}, "", "  ")
	if err != nil {
		return err
	}
	if err := atomicfile.Write(s.path(policyFile), append(text, '\n'), 0o600); err != nil {
		return refusal.DiskFull(err)
	}
	return nil
}

func (n *network) close() {
	if n != nil {
		n.talk.Close()
	}
}

// await waits until the process can serve the guest.
func (n *network) await(ctx context.Context) error {
	if n == nil {
		return nil
	}
	stop := context.AfterFunc(ctx, func() { n.talk.Close() })
	defer stop()
	if _, err := io.ReadFull(n.talk, make([]byte, 1)); err != nil {
		return problem.New(problem.VMStartFailed, "the network process of the VM did not start: %s", lastWords(n.files, networkLog, err.Error())).
			WithHint("see %s", n.files.path(networkLog))
	}
	return nil
}

// recorded tells the process that it is on record and serves from now on.
func (n *network) recorded() error {
	if n == nil {
		return nil
	}
	if _, err := n.talk.Write([]byte{'\n'}); err != nil {
		return fmt.Errorf("the network process of the VM has ended: %s", lastWords(n.files, networkLog, err.Error()))
	}
	return nil
}

// end ends a start that failed.
func (n *network) end(ctx context.Context) error {
	if n == nil {
		return nil
	}
	return killAndWait(ctx, n.proc)
}

// process returns the process, nil on a bridge.
func (n *network) process() *process {
	if n == nil {
		return nil
	}
	return n.proc
}

// adoptNetwork takes hold of the network of a VM that runs; nil when there is none
// any more, or never was one.
func adoptNetwork(r run) *process {
	if r.Network == nil {
		return nil
	}
	p, err := openProcess(r.Network.PID, r.Network.Start)
	if err != nil {
		return nil
	}
	return p
}

// endCompanions is the end of what ran beside the QEMU, which has ended, of a VM
// without an owner. Its output is in its log then.
func endCompanions(ctx context.Context, r *run) error {
	if r == nil || r.BootID != host.BootID() {
		return nil
	}
	var err error
	if r.Network != nil {
		err = killProcess(ctx, r.Network.PID, r.Network.Start)
	}
	if log := adoptLog(*r); log != nil {
		(&process{log: log}).heard()
		log.release()
	}
	return err
}

// adoptLog takes hold of the process that writes QEMU's log; nil = there is none
// any more, or there never was one.
func adoptLog(r run) *process {
	if r.Log == nil {
		return nil
	}
	p, err := openProcess(r.Log.PID, r.Log.Start)
	if err != nil {
		return nil
	}
	return p
}

// onRecord is what is kept of a process beside QEMU.
func (p *process) onRecord() *companion {
	if p == nil {
		return nil
	}
	return &companion{PID: p.pid, Start: p.start}
}
