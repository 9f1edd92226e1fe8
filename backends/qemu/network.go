package qemu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/host"
	"github.com/nixvm/nixvm/backends/qemu/netstack"
	"github.com/nixvm/nixvm/internal/atomicfile"
	"github.com/nixvm/nixvm/internal/problem"
)

// self is this very program, also after its file was replaced by another version.
const self = "/proc/self/exe"

// network is the process that is a VM's network (package netstack), on its way up.
type network struct {
	proc  *process
	wire  *os.File // QEMU's end of the wire
	ready *os.File // says one byte when the guest is served
}

// checkNetwork refuses a network that this host does not have, and an address at
// which nobody would find the guest.
func checkNetwork(spec backends.Spec) error {
	if spec.Bridge != "" {
		return checkBridge(spec.Bridge)
	}
	if a := spec.StaticIP.Addr(); a.IsValid() && a != netstack.Guest {
		return problem.New(problem.MachineInvalid, "static_ip: on the network nat of this backend %s has the address %s, not %s", spec.Name, netstack.Guest, a).
			WithHint("remove the file static_ip of the machine, or give it a bridge: nixvmd configure %s --network bridge:INTERFACE", spec.Name)
	}
	return nil
}

// startNetwork starts the process for the user-mode network; nil on a bridge.
// The port is ours from here on: nobody can take it between the choice and the use.
func (b *Backend) startNetwork(f vmFiles, l launch) (*network, error) {
	if l.spec.Bridge != "" {
		if l.spec.Isolation != nil {
			b.log.Warn("on a bridge, the VM's own firewall alone keeps it from private networks", "vm", l.spec.Name, "bridge", l.spec.Bridge)
		}
		return nil, nil
	}
	port, err := listenPort(l.port)
	if err != nil {
		return nil, err
	}
	defer port.Close()
	policy, err := writePolicy(f, l.spec)
	if err != nil {
		return nil, err
	}
	defer policy.Close()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("network: %w", err)
	}
	n := &network{wire: os.NewFile(uintptr(pair[0]), "wire")}
	theirs := os.NewFile(uintptr(pair[1]), "wire")
	defer theirs.Close()
	usage, err := listen(f.socket(networkSocket))
	if err != nil {
		n.closeFiles()
		return nil, err
	}
	defer usage.Close()
	var said *os.File
	if n.ready, said, err = os.Pipe(); err == nil {
		defer said.Close()
		n.proc, err = runNetwork(f, l.spec.Name, policy, theirs, port, said, usage)
	}
	if err != nil {
		n.closeFiles()
		return nil, err
	}
	return n, nil
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
		return nil, problem.New(problem.PortTaken, "port %d on 127.0.0.1 cannot be used: %w", port, err).Retry()
	}
	defer l.Close()
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return nil, errors.New("forward a port: no TCP listener")
	}
	return tcp.File()
}

// writePolicy puts down what the guest may reach, and opens that to be read.
func writePolicy(f vmFiles, spec backends.Spec) (*os.File, error) {
	text, err := json.MarshalIndent(netstack.Policy{Isolation: spec.Isolation}, "", "  ")
	if err != nil {
		return nil, err
	}
	path := f.socket(policyFile)
	if err := atomicfile.Write(path, append(text, '\n'), 0o600); err != nil {
		return nil, diskProblem(err, err.Error())
	}
	return os.Open(path)
}

func (n *network) closeFiles() {
	if n == nil {
		return
	}
	for _, f := range []*os.File{n.wire, n.ready} {
		if f != nil {
			f.Close()
		}
	}
}

// await waits until the process serves the guest.
func (n *network) await(ctx context.Context, f vmFiles) error {
	if n == nil {
		return nil
	}
	stop := context.AfterFunc(ctx, func() { n.ready.Close() })
	defer stop()
	if _, err := io.ReadFull(n.ready, make([]byte, 1)); err != nil {
		return problem.New(problem.VMStartFailed, "the network of the VM did not start: %s", lastWords(f, networkLog, err.Error())).
			WithHint("see %s", f.path(networkLog))
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

// onRecord is what is kept of the process.
func (n *network) onRecord() *companion {
	if n == nil {
		return nil
	}
	return n.proc.onRecord()
}

// qemuEnd is the end of the wire that QEMU inherits, nil on a bridge.
func (n *network) qemuEnd() *os.File {
	if n == nil {
		return nil
	}
	return n.wire
}

// process returns the process, nil on a bridge.
func (n *network) process() *process {
	if n == nil {
		return nil
	}
	return n.proc
}

// adoptNetwork takes hold of the network of a VM that runs. Without an error,
// nil means that this VM never had one.
func adoptNetwork(r run) (*process, error) {
	if r.Network == nil {
		return nil, nil
	}
	return openProcess(r.Network.PID, r.Network.Start)
}

// endCompanions is the end of what ran beside the QEMU, which has ended, of a VM
// that nobody holds. What it said is in its log then.
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

// loseNetwork says that the guest has no network any more. Only a new QEMU gets
// a new one: this one's end of the wire is closed.
func (i *instance) loseNetwork() {
	i.log().Error("the network of the VM has ended", "log", i.v.files.path(networkLog))
	i.mu.Lock()
	defer i.mu.Unlock()
	defer i.wake()
	i.cut = true
	i.emit(backends.StateChanged)
}
