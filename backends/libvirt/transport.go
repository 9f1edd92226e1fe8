package libvirt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/internal/problem"
)

// dial opens a byte stream to libvirtd's socket. It is called for every
// connection anew: after a break, and once for every console. What it returns
// speaks libvirt's protocol from the first byte; closing it ends all that the
// transport holds for it.
type dial func(ctx context.Context) (net.Conn, error)

// dialer returns how to reach the target.
func (b *Backend) dialer() (dial, error) {
	switch {
	case b.target.Transport == "ssh":
	case b.target.Session && b.target.Socket == "":
		return b.target.dialSession, nil
	default:
		return b.target.dialUnix, nil
	}
	r, err := newRemote(b.target, b.config.Layout.LibvirtSSH(b.config.Name))
	if err != nil {
		return nil, err
	}
	b.remote = r
	return r.dialLibvirt, nil
}

// dialUnix tries the sockets in order.
func (t target) dialUnix(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	var last error
	for _, path := range t.sockets() {
		conn, err := d.DialContext(ctx, "unix", path)
		if err == nil {
			return conn, nil
		}
		if last == nil || !errors.Is(err, fs.ErrNotExist) {
			last = err
		}
	}
	return nil, last
}

// sockets are the places of libvirtd's socket: of one daemon for everything
// (or virtproxyd in its place) before the one that has QEMU only.
func (t target) sockets() []string {
	switch {
	case t.Socket != "":
		return []string{t.Socket}
	case t.Session:
		dir := sessionRuntime()
		return []string{filepath.Join(dir, "libvirt-sock"), filepath.Join(dir, "virtqemud-sock")}
	}
	return []string{"/run/libvirt/libvirt-sock", "/var/run/libvirt/libvirt-sock", "/run/libvirt/virtqemud-sock"}
}

// sessionRuntime is where a session's daemon keeps its sockets.
func sessionRuntime() string {
	base := os.Getenv("XDG_RUNTIME_DIR")
	if base == "" {
		base = fmt.Sprintf("/run/user/%d", os.Getuid())
	}
	return filepath.Join(base, "libvirt")
}

// silent is the problem of a libvirtd that was asked and did not answer in its time.
func (t target) silent() *problem.Error {
	return problem.New(problem.BackendUnreachable, "%w at %s", errSilent, t.Host.Redacted()).Retry().
		WithHint("%s, if it was a change; virsh -c %s list shows whether libvirtd is responding again", refusal.MayStillHappen, t.virsh())
}

// unreachable says why libvirtd does not answer, and the command that helps.
func (t target) unreachable(err error) *problem.Error {
	var known *problem.Error
	if errors.As(err, &known) {
		return known
	}
	p := problem.New(problem.BackendUnreachable, "libvirtd does not answer at %s: %w", t.Host.Redacted(), err).Retry()
	switch {
	case t.Transport == "ssh":
		return p.WithHint("check that ssh reaches the host without a password: ssh %s true", t.destination())
	case errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM):
		return p.WithHint("sudo usermod -aG libvirt $USER, then log in again")
	case t.Session:
		return p.WithHint("Debian, Ubuntu: sudo apt install libvirt-daemon-system; Fedora: sudo dnf install libvirt-daemon-driver-qemu")
	case errors.Is(err, fs.ErrNotExist):
		return p.WithHint("Debian, Ubuntu: sudo apt install libvirt-daemon-system; Fedora: sudo dnf install libvirt-daemon; then: sudo systemctl enable --now libvirtd.socket")
	}
	return p.WithHint("sudo systemctl restart libvirtd; sudo journalctl -u libvirtd")
}
