package vm

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/machine"
)

// A directory that the user made stays the user's: its files are read, missing ones are
// added, and no byte of them is changed by any operation on the VM.
func TestAnAdoptedDirectoryIsNotRewritten(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	dir := filepath.Join(h.layout.Machines(), "demo")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	const theirs = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILaYLyF3PZNKDr5IAAeNgu/xVaudsOGWKa/+Jtlsbn8q you@laptop"
	before := map[string]string{
		"profile": "core\r\n", "admin_authorized_keys": "", "user_authorized_keys": "# mine\n\n" + theirs, "memory": "  4096  ", "vcpus": "04\n",
		"network": "nat", "tcp_ports": "# ssh\n22\n80 # web\n", "udp_ports": "", "allowed_cidrs": "10.0.0.0/8 # all\n", "hosts": "#\n10.0.0.1\tbuild\n",
		"remote_forwards": "8080:localhost:80\n# later\n", "var_size": "30G", "mutable": "false\n", "image": "trial", "notes.txt": "not ours\n",
	}
	for file, content := range before {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	same := func(when string) {
		t.Helper()
		for file, content := range before {
			if got, err := os.ReadFile(filepath.Join(dir, file)); err != nil || string(got) != content {
				t.Errorf("%s: %s is %q, %v; it was %q", when, file, got, err, content)
			}
			if fi, err := os.Stat(filepath.Join(dir, file)); err == nil && fi.Mode().Perm() != 0o640 {
				t.Errorf("%s: %s has mode %o", when, file, fi.Mode().Perm())
			}
		}
	}
	h.inventory.Reload("demo")
	op, err := h.Create(background, api.CreateParams{Name: "demo"})
	h.succeed(t, op, err)
	same("create")
	op, err = h.Reboot(background, "demo", "")
	h.succeed(t, op, err)
	same("reboot")

	own, err := h.ssh.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	medium := identityOf(t, h, "demo")
	if n := bytes.Count(medium, []byte(own)); n != 2 {
		t.Errorf("the identity medium has nixvm's key %d times, want it for both accounts", n)
	}
	if n := bytes.Count(medium, []byte(theirs)); n != 1 {
		t.Errorf("the identity medium has their key %d times", n)
	}
	op, err = h.Destroy(background, "demo", "demo", "")
	h.succeed(t, op, err)
	same("destroy")
}

// identityOf is the medium that the fake backend's VM has.
func identityOf(t *testing.T, h house, name string) []byte {
	t.Helper()
	kept, err := h.fake.Kept(background, backends.Named(name))
	if err != nil || len(kept.Identity) == 0 {
		t.Fatalf("no medium: %v", err)
	}
	return kept.Identity
}

// A machine whose files have the key already gets no other medium for it: VMs that
// exist keep theirs.
func TestTheKeyIsOnTheMediumOnce(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	own, err := h.ssh.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	before := h.recordOf("demo").Digest
	h.byHand(t, "demo", machine.AdminKeysFile, own+"\n") // as earlier versions wrote it
	h.byHand(t, "demo", machine.UserKeysFile, own+"\n")
	op, err := h.Reboot(background, "demo", "")
	h.succeed(t, op, err)
	m, _, err := h.realised("demo")
	if err != nil {
		t.Fatal(err)
	}
	digest, err := machine.Digest(m)
	if err != nil {
		t.Fatal(err)
	}
	if r := h.recordOf("demo"); r.Digest != digest || before != digest || bytes.Count(identityOf(t, h, "demo"), []byte(own)) != 2 {
		t.Errorf("the medium is not that of the files: %s, want %s", r.Digest, digest)
	}
}
