package flake

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nixvm/nixvm/nixbuild"
)

var update = flag.Bool("update", false, "write the goldens of what the modules say")

func TestWhatTheModulesSayOfEachMode(t *testing.T) {
	for _, mode := range nixbuild.Modes() {
		t.Run(mode, func(t *testing.T) {
			var value any
			if err := newNix(t).evalModules(t, &value, "golden", "", mode, "{ }"); err != nil {
				t.Fatal(err)
			}
			got := indented(t, value)
			name := filepath.Join("testdata", "golden", mode+".json")
			if *update {
				write(t, name, got)
			}
			want, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("go test -update writes it anew (-want +got):\n%s", diff)
			}
		})
	}
}

func indented(t *testing.T, value any) string {
	t.Helper()
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		t.Fatal(err)
	}
	return buf.String()
}

func TestAllProfilesTogetherMakeOneImageInEveryMode(t *testing.T) {
	var all []string
	for _, p := range catalogue(newNix(t).dir) {
		all = append(all, p.Name)
	}
	for _, mode := range nixbuild.Modes() {
		var got struct {
			Failed []string
			Units  map[string]any
		}
		if err := newNix(t).evalModules(t, &got, "golden", strings.Join(all, ","), mode, "{ }"); err != nil {
			t.Fatal(err)
		}
		if len(got.Failed) > 0 {
			t.Errorf("%s: %v", mode, got.Failed)
		}
	}
}

func TestWhatAProfileOpensIsHandedToTheFirewall(t *testing.T) {
	extra := `{ networking.firewall = { allowedTCPPorts = [ 80 ]; allowedTCPPortRanges = [ { from = 6000; to = 6010; } ]; allowedUDPPorts = [ 53 ]; }; }`
	var ports map[string]string
	if err := newNix(t).evalModules(t, &ports, "ports", "", "immutable", extra); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"tcp": "80\n6000-6010\n", "udp": "53\n"}, ports); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestOnlyAnAgentProfileBlocksPrivateNetworks(t *testing.T) {
	for profiles, want := range map[string]bool{"claude": true, "open-code,dev": true, "dev": false} {
		dir := runGuestScript(t, profiles, "immutable")
		if _, err := os.Stat(filepath.Join(dir, "block-private")); (err == nil) != want {
			t.Errorf("%s: block-private: %v, want %v", profiles, err == nil, want)
		}
	}
}

func TestTheGuestsDirectoryHasItsModeAndItsPlaces(t *testing.T) {
	for _, mode := range nixbuild.Modes() {
		dir := runGuestScript(t, "", mode)
		got, err := os.ReadFile(filepath.Join(dir, "mode"))
		if err != nil || string(got) != mode+"\n" {
			t.Errorf("mode is %q, %v", got, err)
		}
		places, err := os.ReadFile(filepath.Join(dir, "places.sh"))
		if err != nil || strings.Contains(string(places), "/etc/hostname") != (mode == nixbuild.Mutable) {
			t.Errorf("%s: %v, %s", mode, err, places)
		}
		preinit, err := os.ReadFile(filepath.Join(dir, "preinit"))
		if err != nil || !strings.HasPrefix(string(preinit), "#!/nix/store/nixvm-guest-tools/bin/busybox sh\n") || !strings.Contains(string(preinit), "\nNIXVM="+dir+"\n") {
			t.Errorf("%v, %.300s", err, preinit)
		}
		if fi, err := os.Stat(filepath.Join(dir, "preinit")); err != nil || fi.Mode()&0o111 == 0 {
			t.Errorf("preinit cannot be run: %v", err)
		}
	}
}

// script is a derivation's: what it does, with the variables that it gets.
type script struct {
	Script, Description, Places string
}

// runGuestScript makes the guest's directory as nix would.
func runGuestScript(t *testing.T, profiles, mode string) string {
	t.Helper()
	var s script
	n := newNix(t)
	if err := n.evalModules(t, &s, "guest", profiles, mode, "{ }"); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "out")
	bash(t, s.Script, "out="+out, "src="+filepath.Join(n.dir, "guest"), "places="+s.Places, "tcpPorts=", "udpPorts=")
	return out
}

func bash(t *testing.T, text string, env ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-eu", "-o", "pipefail", "-c", text)
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// The last step of the image is the one that is ours: run as nix would, with a raw
// disk in place of systemd-repart's.
func TestTheImageIsDescribedAsNixvmReadsIt(t *testing.T) {
	for _, mode := range nixbuild.Modes() {
		var s script
		if err := newNix(t).evalModules(t, &s, "image", "docker,claude", mode, "{ }"); err != nil {
			t.Fatal(err)
		}
		from, out := t.TempDir(), filepath.Join(t.TempDir(), "out")
		const size = 8 << 20
		paths := ""
		for _, name := range []string{
			"openssh-9.9p2", "glibc-2.40-66", "glibc-2.40-66-bin", "python3.12-pip-24.0", "linux-6.12.1-modules", "unit-sshd.service", "etc-os-release", "openssh-9.8",
		} {
			paths += "/nix/store/" + strings.Repeat("a", 32) + "-" + name + "\n"
		}
		for name, text := range map[string]string{"nixvm.raw": "", "bzImage": "kernel", "initrd": "initrd", "store-paths": paths} {
			write(t, filepath.Join(from, name), text)
		}
		if err := os.Truncate(filepath.Join(from, "nixvm.raw"), size); err != nil {
			t.Fatal(err)
		}
		text := strings.NewReplacer("/nix/store/image", from, "/nix/store/linux", from, "/nix/store/initrd", from, "/nix/store/closure-info", from).Replace(s.Script)
		bash(t, text, "out="+out, "description="+s.Description)

		img, err := nixbuild.ReadImage(out)
		if err != nil {
			t.Fatal(err)
		}
		if sum, err := nixbuild.SumFile(t.Context(), img.DiskPath()); err != nil || sum != img.Disk.SHA256 {
			t.Errorf("%s: the disk is %s, %v, described as %s", mode, sum, err, img.Disk.SHA256)
		}
		if img.Disk.VirtualSize != size || img.Disk.Format != "qcow2" || img.Distro != "nixos" || img.Mode != mode {
			t.Errorf("%s: %+v", mode, img)
		}
		if diff := cmp.Diff([]string{"claude", "docker"}, img.Profiles); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		packages, err := img.Packages()
		want := nixbuild.Packages{"openssh": {"9.8", "9.9p2"}, "glibc": {"2.40-66"}, "python3.12-pip": {"24.0"}, "linux": {"6.12.1"}}
		if diff := cmp.Diff(want, packages); diff != "" || err != nil {
			t.Errorf("%s: packages (-want +got):\n%s%v", mode, diff, err)
		}
		direct := mode != nixbuild.Mutable
		if got := img.Kernel != "" && strings.HasPrefix(img.Cmdline, "init=/nix/store/toplevel/init "); got != direct {
			t.Errorf("%s: kernel %q, command line %q", mode, img.Kernel, img.Cmdline)
		}
	}
}
