package qemu

import (
	"context"
	"fmt"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/host"
	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/internal/problem"
)

// Bridges implements backends.BridgeHost.
func (b *Backend) Bridges(context.Context) ([]backends.Bridge, error) { return host.Bridges() }

// CheckBridge implements backends.BridgeHost.
func (b *Backend) CheckBridge(_ context.Context, bridge string) error {
	return host.CheckBridge(bridge)
}

// openTap gets a tap device on a host bridge from QEMU's set-uid helper. We run
// the helper, not QEMU: QEMU's sandbox forbids it to start anything.
func (b *Backend) openTap(ctx context.Context, bridge string) (*os.File, error) {
	if !names.IsBridge(bridge) {
		return nil, problem.New(problem.MachineInvalid, "%q is not a valid bridge name", bridge).WithHint("%s", names.BridgeHint)
	}
	helper := b.findBridgeHelper()
	if helper == "" {
		return nil, problem.New(problem.Unsupported, "bridged networks need qemu-bridge-helper").WithHint("%s", installHint)
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("bridge %s: %w", bridge, err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "bridge"), os.NewFile(uintptr(pair[1]), "bridge")
	defer ours.Close()
	cmd := exec.CommandContext(ctx, helper, "--use-vnet", "--fd=3", "--br="+bridge)
	cmd.ExtraFiles = []*os.File{theirs}
	var stderr backends.Output
	cmd.Stderr = &stderr
	err = cmd.Run()
	theirs.Close()
	if err != nil {
		return nil, problem.New(problem.VMStartFailed, "bridge %s: %s", bridge, backends.OneLine(stderr.String()+" "+err.Error())).
			WithHint("allow it with the line \"allow %s\" in /etc/qemu/bridge.conf", bridge)
	}
	return receiveFile(ours)
}

// receiveFile takes the descriptor that the helper has sent (SCM_RIGHTS).
func receiveFile(socket *os.File) (*os.File, error) {
	data, control := make([]byte, 16), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(int(socket.Fd()), data, control, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("tap device: %w", err)
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil || len(messages) != 1 {
		return nil, fmt.Errorf("the bridge helper sent no tap device: %w", err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, fmt.Errorf("the bridge helper sent no tap device: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "tap"), nil
}
