// Package libvirttest gives tests a libvirt host of their own: a real libvirtd
// and virtlogd, started by hand, without systemd or D-Bus.
//
// A Host lives in mount, network and process namespaces that it makes. Its
// /etc/libvirt, /var/lib/libvirt, /run and logs are its own, so that nothing of
// a libvirtd of the user is seen or touched, and several hosts run side by side;
// its network has a loopback and no way out. All of it goes with the test. When
// the test is killed, only its files below the temporary directory stay: the first
// process of the namespaces ends when the test's end of a pipe does, and the
// kernel ends the others with it.
//
//	h := libvirttest.Start(t)           // qemu:///system
//	h.URI                               // for virsh, go-libvirt and the backend
//	h.Virsh(t, "list", "--all")
//	h.Dial(ctx, "tcp", "192.168.122.57:22") // as a program on that host
//	h.KillLibvirtd(t); h.StartLibvirtd(t)
//
// Nothing is defined on a new host, not even the network "default" and the
// filters that distributions ship.
//
// It needs root. A test that is run by a plain user is skipped, and says so.
package libvirttest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// waitLimit ends a hang, on a machine as busy as can be.
const waitLimit = 120 * time.Second

// Host is a machine that runs libvirtd, as far as libvirtd can see.
type Host struct {
	// URI reaches libvirtd from the test: qemu:///system?socket=... or
	// qemu:///session?socket=...
	URI string
	// Socket is the path of libvirtd's socket, the same inside and outside.
	Socket string
	// Dir is seen at the same path inside and outside, and can be searched by
	// every user: a place for disks. It is removed with the host.
	Dir string

	session bool
	inside  *namespaces
}

// Start starts a host with a libvirtd of the system (qemu:///system).
func Start(t testing.TB) *Host {
	t.Helper()
	return start(t, false)
}

// StartSession starts a host with a libvirtd of a plain user
// (qemu:///session), "nobody".
func StartSession(t testing.TB) *Host {
	t.Helper()
	return start(t, true)
}

// StartSharing starts a host of whose disks another one makes use too. When a VM has left
// it, a libvirtd takes back the ownership of the disks, unless it knows their file system to
// be shared (virFileIsSharedFS: NFS and others). That of the test is not: QEMU's own user
// could not open the disks that the other host's libvirtd has just taken back, as a target
// does that activates them. So QEMU runs as root here, for whom it makes no difference.
// On a shared file system the ownership stays as long as every QEMU ends as migrated, which
// the tests of migrations check.
func StartSharing(t testing.TB) *Host {
	t.Helper()
	return start(t, false, "user = \"root\"", "group = \"root\"")
}

func start(t testing.TB, session bool, qemuSettings ...string) *Host {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: it starts a libvirtd in namespaces of its own")
	}
	for program, pkg := range map[string]string{
		"libvirtd": "libvirt-daemon-system", "virtlogd": "libvirt-daemon-system", "virsh": "libvirt-clients",
		"dnsmasq": "dnsmasq-base", "iptables": "iptables", "ip": "iproute2", "nsenter": "util-linux", "setpriv": "util-linux", "bash": "bash",
	} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("this test needs %s\n  sudo apt-get install %s", program, pkg)
		}
	}
	h := &Host{Dir: shortDir(t), session: session}
	h.inside = enter(t, h.Dir)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the end of libvirtd's log:\n%s", h.logTail())
		}
	})
	if session {
		h.Socket, h.URI = h.path("run/libvirt/libvirt-sock"), "qemu:///session"
	} else {
		h.Socket, h.URI = h.path("run/libvirt-sock"), "qemu:///system"
		h.inside.run(t, "mkdir -p /etc/libvirt/qemu /var/lib/libvirt/images /var/lib/libvirt/qemu")
	}
	h.URI += "?socket=" + h.Socket
	h.configure(t, qemuSettings)
	h.startVirtlogd(t)
	h.StartLibvirtd(t)
	return h
}

// path is a path below Dir.
func (h *Host) path(rel string) string { return filepath.Join(h.Dir, filepath.FromSlash(rel)) }

// shortDir is a temporary directory that leaves room for sockets (108 bytes),
// and that libvirt's own user can search.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "nvl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("the host's directory stays: %v", err)
		}
	})
	if err := os.Chmod(dir, 0o711); err != nil { //nolint:gosec // other users must pass through
		t.Fatal(err)
	}
	return dir
}

// Virsh runs virsh from outside, as a user of this machine would, and returns
// what it prints.
func (h *Host) Virsh(t testing.TB, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "virsh", append([]string{"-q", "-c", h.URI}, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("virsh %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// Define writes XML to a file and runs a virsh command on it: net-define,
// define, nwfilter-define, pool-define.
func (h *Host) Define(t testing.TB, command, xml string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "definition.xml")
	if err := os.WriteFile(file, []byte(xml), 0o600); err != nil {
		t.Fatal(err)
	}
	h.Virsh(t, command, file)
}

// StartDefaultNetwork defines the network "default" that distributions ship
// (NAT, 192.168.122.0/24) and starts it.
func (h *Host) StartDefaultNetwork(t testing.TB) {
	t.Helper()
	h.Virsh(t, "net-define", "/usr/share/libvirt/networks/default.xml")
	h.Virsh(t, "net-start", "default")
}

// KillGuest ends the QEMU of a domain with SIGKILL, as the kernel does when
// memory runs out.
func (h *Host) KillGuest(t testing.TB, domain string) {
	t.Helper()
	file := h.path("run/qemu/" + domain + ".pid")
	if h.session {
		file = h.path("run/libvirt/qemu/run/" + domain + ".pid")
	}
	h.inside.run(t, fmt.Sprintf("kill -9 $(cat %s)", quote(file)))
}

// DefinePool defines a storage pool of a directory and starts it.
func (h *Host) DefinePool(t testing.TB, name, dir string) {
	t.Helper()
	h.Virsh(t, "pool-define-as", name, "dir", "--target", dir)
	h.Virsh(t, "pool-start", name)
}
