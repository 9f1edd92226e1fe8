package flake

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// called finds what a program calls by its place.
var called = regexp.MustCompile(`/usr/s?bin/([a-z0-9-]+)`)

func TestTheProgramsOfTheGuestRunFromTheStoreWhenRelocated(t *testing.T) {
	if _, err := exec.LookPath("busybox"); err != nil {
		t.Fatal("this test needs busybox\n  sudo apt-get install busybox-static")
	}
	for _, places := range []string{OnState, InEtc} {
		programs, err := GuestPrograms(places)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"preinit", "apply-identity", "grow-disk", "firewall", "resolv", "places.sh", "disk.sh", "medium.sh", "apply.sh", "log.sh"} {
			if programs[name] == nil {
				t.Errorf("there is no %s", name)
			}
		}
		for name, text := range programs {
			out := relocated(t, text)
			if i := strings.Index(out, "/usr/"); i >= 0 {
				t.Errorf("%s still has Debian's paths: %.60q", name, out[i:])
			}
			if !strings.HasPrefix(string(text), "#!") && !strings.HasSuffix(name, ".sh") {
				continue
			}
			check := exec.Command("busybox", "sh", "-n")
			check.Stdin = strings.NewReader(out)
			if msg, err := check.CombinedOutput(); err != nil {
				t.Errorf("%s: %v: %s", name, err, msg)
			}
		}
	}
}

func relocated(t *testing.T, text []byte) string {
	t.Helper()
	cmd := exec.Command("sed", "-f", "guest/relocate.sed")
	cmd.Stdin = strings.NewReader(string(text))
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// providers says which package of nixpkgs has a program that the guest's programs
// call by its place, that is: where busybox's own will not do.
var providers = map[string]string{
	"busybox": "busybox", "blkid": "util-linux", "sfdisk": "util-linux", "partx": "util-linux", "mke2fs": "e2fsprogs",
	"e2fsck": "e2fsprogs", "resize2fs": "e2fsprogs", "dd": "coreutils", "sync": "coreutils", "flock": "util-linux", "modprobe": "kmod", "chpasswd": "shadow",
}

func TestWhateverTheProgramsCallIsAmongTheirTools(t *testing.T) {
	module, err := Files.ReadFile("modules/preinit.nix")
	if err != nil {
		t.Fatal(err)
	}
	programs, err := GuestPrograms(OnState)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range programs {
		for _, m := range called.FindAllStringSubmatch(string(text), -1) {
			if p, ok := providers[m[1]]; !ok || !strings.Contains(string(module), "pkgs."+p) {
				t.Errorf("%s calls %s: which package in modules/preinit.nix has it?", name, m[1])
			}
		}
	}
}

// overlay is the programs' work on a writable /nix, without mounts.
type overlay struct {
	*testing.T
	dir, script string
}

func newOverlay(t *testing.T) overlay {
	t.Helper()
	dir := t.TempDir()
	disk, err := Files.ReadFile("guest/disk.sh")
	if err != nil {
		t.Fatal(err)
	}
	script := strings.NewReplacer("/var/nix", dir+"/nix", "/etc/nixos-image-version", dir+"/version", "/usr/sbin/modprobe", ":").Replace(string(disk)) +
		"say() { echo \"$*\"; }\nmount() { :; }\n"
	return overlay{t, dir, script}
}

// boot of a version ends with a power cut before its nth command that writes; 0 =
// never. It returns what was said, and whether it came to an end.
func (o overlay) boot(version string, cut int) (string, bool) {
	o.Helper()
	write(o.T, filepath.Join(o.dir, "version"), version+"\n")
	script := o.script + "left=" + strconv.Itoa(cut) + "\n"
	for _, command := range []string{"rm", "mv", "mkdir", "sync"} {
		script += command + "() { left=$((left - 1)); [ $left != 0 ] || exit 9; busybox " + command + " \"$@\"; }\n"
	}
	out, err := exec.Command("busybox", "sh", "-c", script+"overlay_nix\n").CombinedOutput()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 9) {
		o.Fatalf("%v: %s", err, out)
	}
	return string(out), err == nil
}

func TestWhatWasInstalledIntoNixGoesWithTheImageThatItWasInstalledOver(t *testing.T) {
	o := newOverlay(t)
	if out, _ := o.boot("one", 0); out != "" {
		t.Errorf("the first boot says %q", out)
	}
	installed := filepath.Join(o.dir, "nix/upper/installed")
	write(t, installed, "")
	if out, _ := o.boot("one", 0); out != "" || !exists(installed) {
		t.Errorf("a reboot says %q; installed: %v", out, exists(installed))
	}
	if out, _ := o.boot("two", 0); !strings.Contains(out, "removed") || exists(installed) {
		t.Errorf("another image says %q; installed: %v", out, exists(installed))
	}
	if out, _ := o.boot("two", 0); out != "" {
		t.Errorf("its next boot says %q", out)
	}
}

func TestAPowerCutNeitherKeepsNorLosesWhatItShouldNot(t *testing.T) {
	cuts := 0
	for cut := 1; ; cut++ {
		o := newOverlay(t)
		installed := filepath.Join(o.dir, "nix/upper/installed")
		o.boot("one", 0)
		write(t, installed, "")
		_, whole := o.boot("two", cut)
		if o.boot("two", 0); exists(installed) {
			t.Errorf("cut before command %d: what was installed over one image is there over another", cut)
		}
		write(t, installed, "")
		o.boot("two", cut)
		if o.boot("two", 0); !exists(installed) {
			t.Errorf("cut before command %d of a boot that changes nothing: what was installed is gone", cut)
		}
		if whole {
			break
		}
		cuts++
	}
	if cuts < 5 {
		t.Errorf("only %d cuts", cuts)
	}
}

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

func TestHomeManagersFilesAreLinkedAndTheUsersOwnStay(t *testing.T) {
	home, store := t.TempDir(), t.TempDir()
	link := func(files string) string {
		t.Helper()
		script, err := Files.ReadFile("profiles/home-manager/link.sh")
		if err != nil {
			t.Fatal(err)
		}
		// As a store path: links into the files of an older image are known by it.
		text := strings.ReplaceAll(string(script), "/nix/store/", store+"/")
		cmd := exec.Command("bash", "-euo", "pipefail", "-c", text, "nixvm-link-home", files)
		cmd.Env = append(os.Environ(), "HOME="+home)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	first, second := filepath.Join(store, "one-home-manager-files"), filepath.Join(store, "two-home-manager-files")
	write(t, filepath.Join(first, ".config/git/config"), "one")
	write(t, filepath.Join(first, ".only-in-one"), "")
	write(t, filepath.Join(first, ".bashrc"), "theirs")
	write(t, filepath.Join(second, ".config/git/config"), "two")
	write(t, filepath.Join(second, "new file"), "")
	write(t, filepath.Join(home, ".bashrc"), "mine")

	if out := link(first); !strings.Contains(out, ".bashrc is the user's own") {
		t.Errorf("it says %q", out)
	}
	link(second)
	for name, want := range map[string]string{".config/git/config": "two", ".bashrc": "mine", "new file": ""} {
		if got, err := os.ReadFile(filepath.Join(home, name)); err != nil || string(got) != want {
			t.Errorf("%s holds %q, %v, want %q", name, got, err, want)
		}
	}
	if exists(filepath.Join(home, ".only-in-one")) {
		t.Error("a link of the older image stays though its file is gone")
	}
}

// What the initrd does when the boot cannot go on, with stand-ins for systemd.
func TestABootThatCannotGoOnSwitchesOffAndSaysWhy(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"systemctl":  "#!/bin/sh\ncase $1 in list-units) echo sysroot.mount loaded failed failed /sysroot ;; *) echo \"$@\" >> " + dir + "/done ;; esac\n",
		"journalctl": "#!/bin/sh\nfor i in $(seq 50); do printf 'line %s \\033[31mred\\n' $i; done\necho 'Timed out waiting for device nixvm-root.'\n",
		"sync":       "#!/bin/sh\necho sync >> " + dir + "/done\n",
	} {
		write(t, filepath.Join(dir, name), text)
		if err := os.Chmod(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	script, err := Files.ReadFile("modules/boot/give-up.sh")
	if err != nil {
		t.Fatal(err)
	}
	// The console is its output, which each line opens anew as it would the device.
	text := strings.NewReplacer("PATH=/bin", "PATH="+dir+":"+os.Getenv("PATH"), "/dev/console", "/dev/stdout").Replace(string(script))
	out, err := exec.Command("bash", "-e", "-c", text).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{"cannot go on\n", "nixvm:   sysroot.mount loaded failed", "nixvm:   Timed out waiting for device nixvm-root.\n", "switching off\n"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the console lacks %q: %q", want, out)
		}
	}
	if strings.Contains(string(out), "\x1b") || strings.Count(string(out), "line ") != 14 {
		t.Errorf("the console shows %q", out)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "done")); err != nil || string(got) != "sync\npoweroff --force --force\n" {
		t.Errorf("it ends with %q, %v", got, err)
	}
}
