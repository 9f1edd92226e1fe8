package libvirttest

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// nobody is the plain user of a session: a real account, with a home of ours.
const nobody = 65534

// libvirtdConf: no polkit without D-Bus, and the socket open to the test.
const libvirtdConf = `auth_unix_rw = "none"
auth_unix_ro = "none"
`

// qemuConf: AppArmor and SELinux would judge by the paths of the real host.
const qemuConf = `security_driver = "none"
`

func (h *Host) configure(t testing.TB, qemuSettings []string) {
	t.Helper()
	dir := h.path("etc")
	if h.session {
		dir = h.path("home/.config/libvirt")
	}
	// Else all have the UUID of this machine's mainboard, and are one to libvirt.
	h.write(t, filepath.Join(dir, "libvirtd.conf"), libvirtdConf+fmt.Sprintf("host_uuid = %q\n", uuid.NewString()))
	h.write(t, filepath.Join(dir, "qemu.conf"), qemuConf+strings.Join(qemuSettings, "\n")+"\n")
	if h.session {
		h.inside.run(t, fmt.Sprintf("chown -R %d %s %s && chmod 700 %[3]s", nobody, quote(h.path("home")), quote(h.path("run"))))
	}
}

func (h *Host) write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // the session's user reads it
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil { //nolint:gosec // the session's user reads it
		t.Fatal(err)
	}
}

// daemon starts a program in the background as the user that the host is of, and
// keeps its process id in the shell variable of its name.
func (h *Host) daemon(t testing.TB, program string, args ...string) {
	t.Helper()
	name, words := filepath.Base(program), program
	for _, a := range args {
		words += " " + quote(a)
	}
	if h.session {
		words = fmt.Sprintf("setpriv --reuid=%d --regid=%d --clear-groups env HOME=%s XDG_RUNTIME_DIR=%s XDG_CONFIG_HOME= XDG_CACHE_HOME= XDG_DATA_HOME= %s",
			nobody, nobody, quote(h.path("home")), quote(h.path("run")), words)
	}
	h.inside.run(t, fmt.Sprintf("setsid %s >>%s 2>&1 & %s=$!", words, quote(h.path("log/"+name+".log")), name))
}

func (h *Host) startVirtlogd(t testing.TB) {
	t.Helper()
	h.daemon(t, "virtlogd")
	h.await(t, "virtlogd", filepath.Join(filepath.Dir(h.Socket), "virtlogd-sock"))
}

// StartLibvirtd starts libvirtd and waits until it answers. Domains and networks
// that ran before it ended are known to it again.
func (h *Host) StartLibvirtd(t testing.TB) {
	t.Helper()
	h.daemon(t, "libvirtd")
	h.await(t, "libvirtd", h.Socket)
}

// KillLibvirtd ends libvirtd with SIGKILL. Guests run on.
func (h *Host) KillLibvirtd(t testing.TB) {
	t.Helper()
	h.inside.run(t, "kill -9 $libvirtd; wait $libvirtd; true")
}

// StopLibvirtd ends libvirtd as an upgrade of its package does. Guests run on.
func (h *Host) StopLibvirtd(t testing.TB) {
	t.Helper()
	h.inside.run(t, "kill $libvirtd; wait $libvirtd; true")
}

// Boot is what a reboot of the host comes to: no guest, no network and nothing
// below /run is left, and libvirtd starts as if for the first time.
func (h *Host) Boot(t testing.TB) {
	t.Helper()
	h.KillLibvirtd(t)
	h.inside.run(t, `
for file in /run/libvirt/qemu/*.pid /run/libvirt/network/*.pid; do
  [ ! -e "$file" ] || kill -9 "$(cat "$file")"
done
for bridge in $(ip -o link show type bridge | cut -d: -f2); do
  ip link delete "$bridge" || exit 1
done
find /run/libvirt -mindepth 1 -maxdepth 1 ! -name 'virtlog*' -exec rm -rf {} +`)
	h.StartLibvirtd(t)
}

// await waits until something accepts on the socket.
func (h *Host) await(t testing.TB, daemon, socket string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
		if err == nil {
			conn.Close()
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s does not answer: %v", daemon, err)
		case <-tick.C:
		}
		h.inside.run(t, fmt.Sprintf("kill -0 $%[1]s || { echo %[1]s ended:; tail -n 20 %[2]s; false; }", daemon, quote(h.path("log/"+daemon+".log"))))
	}
}

// logTail is the end of libvirtd's log.
func (h *Host) logTail() string {
	text, err := os.ReadFile(h.path("log/libvirtd.log"))
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-4000):])
}
