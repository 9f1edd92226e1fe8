package flake

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// namespace returns a command that runs in a mount namespace of its own, as root or
// as what passes for root there.
func namespace(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	flags := []string{"--mount"}
	if os.Getuid() != 0 {
		flags = append(flags, "--map-root-user")
	}
	if out, err := exec.Command("unshare", append(flags, "true")...).CombinedOutput(); err != nil {
		t.Skipf("this account cannot make a mount namespace: %v: %s", err, out)
	}
	return exec.CommandContext(t.Context(), "unshare", append(append(flags, "--propagation", "private"), args...)...)
}

// The store of a semi-mutable guest, with a real nix and real overlays.
func TestTheStoreOfASemiMutableGuestFitsTheImageBelow(t *testing.T) {
	if _, err := exec.LookPath("nix-store"); err != nil {
		t.Fatal("this test needs nix\n  sudo apt-get install nix-bin")
	}
	dir := t.TempDir()
	for name, from := range map[string]string{"disk.sh": "guest/disk.sh", "register.sh": "modules/nix/register.sh"} {
		text, err := Files.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name), strings.NewReplacer("/etc/nixos-image-version", "/run/version", "/usr/sbin/modprobe", ":").Replace(string(text)))
	}
	out, err := namespace(t, "bash", "testdata/semi-mutable.sh", dir).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	want := `# what was installed stays
# another store under the same name
console: another image: what was installed into /nix is removed
# its own files were deleted
console: 1 paths of the image had been deleted from /nix/store: they are back
# a database that does not know the system
# a power cut while it is emptied, or before it is marked
console: another image: what was installed into /nix is removed
# end
`
	if diff := cmp.Diff(want, string(out)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The bundles lie on a root that cannot be written, and are links to one file.
func TestTheCertificatesOfTheMachineAreTrustedBesideTheUsualOnes(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "store/bundle.crt"), "usual\n")
	write(t, filepath.Join(dir, "certs/other.crt"), "other\n")
	for _, name := range []string{"certs/ca-certificates.crt", "certs/ca-bundle.crt"} {
		if err := os.Symlink("../store/bundle.crt", filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	replace := strings.NewReplacer("/etc/ssl/certs/", dir+"/certs/", "/etc/pki/tls/certs/ca-bundle.crt", dir+"/certs/other.crt", "/run/nixvm", dir+"/run",
		"P_DIR=/var/identity", "P_DIR="+dir+"/identity", "NIXVM=/usr/lib/nixvm", "NIXVM="+dir, "> /dev/console", "")
	for name, from := range map[string]string{"ca-cert": "guest/ca-cert", "log.sh": "guest/log.sh", "places.sh": "guest/places-state.sh"} {
		text, err := Files.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name), replace.Replace(string(text)))
	}
	boot := func() string {
		t.Helper()
		out, err := namespace(t, "sh", "-c", `cd "$1" && busybox sh ca-cert && busybox sh ca-cert && cat certs/ca-certificates.crt certs/other.crt`, "sh", dir).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	if got := boot(); got != "usual\nother\n" {
		t.Errorf("without a certificate the bundles are %q", got)
	}
	write(t, filepath.Join(dir, "identity/ca-cert.pem"), "-----BEGIN CERTIFICATE-----\nours\n")
	if got := boot(); got != "usual\n\n-----BEGIN CERTIFICATE-----\nours\nother\n\n-----BEGIN CERTIFICATE-----\nours\n" {
		t.Errorf("with one they are %q", got)
	}
}
