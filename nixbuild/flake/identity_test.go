package flake

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// root is the root of a mutable guest and its identity medium, for the programs
// that read the one and write the other.
type root struct {
	*testing.T
	dir string
}

func (r root) path(name string) string { return filepath.Join(r.dir, name) }

// boot runs what preinit does about the identity, and returns what it says.
func (r root) boot() string {
	r.Helper()
	var script string
	for _, name := range []string{"guest/places-mutable.sh", "guest/medium.sh"} {
		text, err := Files.ReadFile(name)
		if err != nil {
			r.Fatal(err)
		}
		script += strings.NewReplacer("=/etc/", "="+r.dir+"/etc/", "/var/lib/systemd", r.dir+"/var/lib/systemd", "=/run/nixvm/medium", "="+r.dir+"/medium").Replace(string(text))
	}
	script += "say() { echo \"$*\"; }\nroot_hash() { :; }\nMEDIUM=/dev/vdc\nis_provisioned || provision\n"
	out, err := exec.Command("busybox", "sh", "-c", script).CombinedOutput()
	if err != nil {
		r.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

// medium is of the machine with that name and machine id.
func (r root) medium(generation, name, id string) {
	r.Helper()
	for file, text := range map[string]string{
		"generation": generation, "hostname": name, "machine-id": id, "ssh_host_ed25519_key": "key of " + name, "static_ip": "",
	} {
		write(r.T, r.path("medium/"+file), text+"\n")
	}
}

func (r root) holds(file, want string) {
	r.Helper()
	if got, err := os.ReadFile(r.path(file)); err != nil || strings.TrimSpace(string(got)) != want {
		r.Errorf("%s holds %q, %v, want %q", file, got, err, want)
	}
}

func TestAMutableGuestTakesTheIdentityOfEachMachineOnce(t *testing.T) {
	r := root{t, t.TempDir()}
	first, second := strings.Repeat("a", 32), strings.Repeat("b", 32)
	write(t, r.path("var/lib/systemd/random-seed"), "of the image")
	r.medium("1", "one", first)
	if out := r.boot(); !strings.Contains(out, "identity generation 1") || exists(r.path("var/lib/systemd/random-seed")) {
		t.Errorf("the first boot says %q", out)
	}
	r.holds("etc/hostname", "one")
	write(t, r.path("etc/hostname"), "renamed by the guest\n")
	write(t, r.path("etc/machine-id"), strings.Repeat("c", 32)+"\n")
	write(t, r.path("var/lib/systemd/random-seed"), "of the guest")
	for _, generation := range []string{"1", "2"} {
		r.medium(generation, "one-more", first)
		if out := r.boot(); out != "" || !exists(r.path("var/lib/systemd/random-seed")) {
			t.Errorf("with generation %s of the same machine it says %q", generation, out)
		}
	}
	r.holds("etc/hostname", "renamed by the guest")

	r.medium("3", "two", second)
	if out := r.boot(); !strings.Contains(out, "identity generation 3") || exists(r.path("var/lib/systemd/random-seed")) {
		t.Errorf("a copy of the disk in another machine says %q", out)
	}
	r.holds("etc/hostname", "two")
	r.holds("etc/machine-id", second)
	r.holds("etc/ssh/ssh_host_ed25519_key", "key of two")
	r.holds("etc/network-config/static_ip", "")
	if out := r.boot(); out != "" {
		t.Errorf("its second boot says %q", out)
	}

	// What earlier programs wrote down is the generation alone.
	write(t, r.path("etc/nixvm/provisioned"), "3\n")
	if out := r.boot(); out != "" {
		t.Errorf("a mark without a machine id: %q", out)
	}
	r.medium("4", "three", first)
	if out := r.boot(); !strings.Contains(out, "identity generation 4") {
		t.Errorf("a copy of a disk with such a mark: %q", out)
	}
	r.holds("etc/hostname", "three")

	// Nothing to go by: no medium, or one that names no machine.
	r.medium("5", "nobody", "nonsense")
	if out := r.boot(); out != "" {
		t.Errorf("a medium without a machine id: %q", out)
	}
}
