package flake

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// liveGuest is a running guest for apply-identity: its programs in a directory, with
// stand-ins for what needs a kernel, each of which leaves a line in the log.
type liveGuest struct {
	*testing.T
	dir string
}

// standIns come before the program: functions hide the commands of these names.
const standIns = `
log() { echo "$*" >> DIR/log; }
mount() { log mount "$*"; }
umount() { log umount "$*"; }
blockdev() { log blockdev "$*"; }
hostname() { log hostname "$*"; }
kill() { log kill "$*"; }
chown() { :; }
`

func newLiveGuest(t *testing.T) liveGuest {
	t.Helper()
	g := liveGuest{t, t.TempDir()}
	programs, err := GuestPrograms(OnState)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range programs {
		g.put("lib/"+name, g.moved(string(text)))
	}
	g.put("lib/firewall", "#!/bin/sh\necho firewall >> "+g.dir+"/log\n[ -e "+g.dir+"/unloadable ] || touch "+g.dir+"/run/nixvm/firewall\n")
	g.put("lib/resolv", "#!/bin/sh\necho resolv >> "+g.dir+"/log\n")
	g.put("lib/mode", "immutable\n")
	g.put("run/sshd.pid", "123\n")
	g.put("etc/shadow", "root:*:1::::::\nadmin:!:1::::::\n")
	g.put("mounts", "")
	g.put("var/lib/systemd/random-seed", "")
	return g
}

// moved is a program whose places are in the directory.
func (g liveGuest) moved(text string) string {
	return strings.NewReplacer(
		"/usr/lib/nixvm", g.dir+"/lib", "/run/", g.dir+"/run/", "/var/", g.dir+"/var/", "=/etc/", "="+g.dir+"/etc/", " /etc/", " "+g.dir+"/etc/",
		"/dev/console", g.dir+"/console", "/proc/mounts", g.dir+"/mounts",
	).Replace(text)
}

func (g liveGuest) path(name string) string { return filepath.Join(g.dir, name) }

func (g liveGuest) put(name, text string) {
	g.Helper()
	write(g.T, g.path(name), text)
	if strings.HasPrefix(text, "#!") {
		if err := os.Chmod(g.path(name), 0o755); err != nil {
			g.Fatal(err)
		}
	}
}

func (g liveGuest) holds(name, want string) {
	g.Helper()
	if got, err := os.ReadFile(g.path(name)); err != nil || string(got) != want {
		g.Errorf("%s holds %q, %v, want %q", name, got, err, want)
	}
}

// identity is a whole one.
func identity() map[string]string {
	return map[string]string{
		"hostname": "one\n", "machine-id": strings.Repeat("a", 32) + "\n", "ssh_host_ed25519_key": "key\n", "admin_authorized_keys": "ka\n",
		"user_authorized_keys": "ku\n", "tcp_ports": "80\n", "udp_ports": "", "allowed_cidrs": "", "static_ip": "", "resolv.conf": "",
		"hosts": "", "root_password_hash": "",
	}
}

// medium is what the guest finds on its medium.
func (g liveGuest) medium(generation int, files map[string]string) {
	g.Helper()
	if err := os.RemoveAll(g.path("run/nixvm/medium")); err != nil {
		g.Fatal(err)
	}
	sums := ""
	for _, name := range slices.Sorted(maps.Keys(files)) {
		g.put("run/nixvm/medium/"+name, files[name])
		sums += fmt.Sprintf("%x  %s\n", sha256.Sum256([]byte(files[name])), name)
	}
	g.put("run/nixvm/medium/sha256sums", sums)
	g.put("run/nixvm/medium/generation", fmt.Sprintln(generation))
}

// shell runs the program, or what a boot does about the identity, and returns what
// it prints and whether it succeeded. The log begins anew.
func (g liveGuest) shell(script string) (stdout string, ok bool) {
	g.Helper()
	g.put("log", "")
	cmd := exec.Command("busybox", "sh", "-c", g.moved(strings.ReplaceAll(standIns, "DIR", g.dir))+script)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		g.Fatal(err)
	}
	if err != nil {
		return errs.String(), false
	}
	if errs.Len() > 0 && !strings.HasPrefix(errs.String(), "identity generation") {
		g.Errorf("it complains: %s", &errs)
	}
	return out.String(), true
}

func (g liveGuest) boot() {
	g.Helper()
	if out, ok := g.shell(". " + g.path("lib/log.sh") + "\n. " + g.path("lib/places.sh") + "\n. " + g.path("lib/medium.sh") + "\nrefresh_identity && in_force"); !ok {
		g.Fatalf("the boot: %s", out)
	}
}

func (g liveGuest) apply() (string, bool) {
	g.Helper()
	text, err := os.ReadFile(g.path("lib/apply-identity"))
	if err != nil {
		g.Fatal(err)
	}
	found := ". $NIXVM/apply.sh\nscan_medium() { MEDIUM=/dev/vdc; }\nrmdir() { :; }\n"
	return g.shell(strings.Replace(string(text), ". $NIXVM/apply.sh\n", found, 1))
}

// did are the lines of the log without those of every run.
func (g liveGuest) did() []string {
	g.Helper()
	log, err := os.ReadFile(g.path("log"))
	if err != nil {
		g.Fatal(err)
	}
	var done []string
	for line := range strings.Lines(strings.ReplaceAll(string(log), g.dir, "")) {
		if line = strings.TrimSpace(line); !strings.Contains(line, "/dev/vdc") && line != "umount /run/nixvm/medium" {
			done = append(done, line)
		}
	}
	return done
}

func TestARunningGuestAppliesWhatHasChangedAndNothingElse(t *testing.T) {
	password := "$6$salt$abc"
	for what, tt := range map[string]struct {
		file, text string
		did        []string
		says       string
	}{
		"nothing":       {file: "tcp_ports", text: "80\n"},
		"ports":         {file: "tcp_ports", text: "80\n81\n", did: []string{"firewall"}},
		"UDP ports":     {file: "udp_ports", text: "53\n", did: []string{"firewall"}},
		"networks":      {file: "allowed_cidrs", text: "10.0.0.0/8\n", did: []string{"firewall"}},
		"keys":          {file: "user_authorized_keys", text: "other\n"},
		"hosts":         {file: "hosts", text: "192.0.2.9 nine\n", did: []string{"hostname one"}},
		"name servers":  {file: "resolv.conf", text: "nameserver 192.0.2.1\n", did: []string{"resolv"}},
		"host key":      {file: "ssh_host_ed25519_key", text: "new\n", did: []string{"kill -HUP 123"}},
		"host name":     {file: "hostname", text: "two\n", did: []string{"hostname two"}},
		"machine id":    {file: "machine-id", text: strings.Repeat("b", 32) + "\n", did: []string{"mount --bind /var/identity/machine-id /etc/machine-id"}},
		"password":      {file: "root_password_hash", text: password + "\n", did: []string{"mount --bind /run/nixvm/shadow /etc/shadow"}},
		"address":       {file: "static_ip", text: "address=192.0.2.2/24\n", says: "pending static_ip\n"},
		"certificates":  {file: "ca-cert.pem", text: "PEM\n", says: "pending ca-cert.pem\n"},
		"unknown files": {file: "new-in-version-9", text: "x\n"},
	} {
		t.Run(what, func(t *testing.T) {
			g := newLiveGuest(t)
			g.medium(7, identity())
			g.boot()
			files := identity()
			files[tt.file] = tt.text
			if what == "unknown files" { // neither copied nor among those that it proves
				files = identity()
				g.medium(8, files)
				g.put("run/nixvm/medium/"+tt.file, tt.text)
			} else {
				g.medium(8, files)
			}
			out, ok := g.apply()
			if want := tt.says + "generation 8\n"; !ok || out != want {
				t.Errorf("it prints %q, want %q", out, want)
			}
			if did := g.did(); !slices.Equal(did, tt.did) {
				t.Errorf("it did %q, want %q", did, tt.did)
			}
			if what != "unknown files" {
				g.holds("var/identity/"+tt.file, tt.text)
			}
			if out, ok := g.apply(); !ok || out != "generation 8\n" || len(g.did()) > 0 {
				t.Errorf("once more: %q, %v, %q", out, ok, g.did())
			}
		})
	}
}

// On NixOS another program keeps the accounts; it reads the hash when it runs.
func TestOnNixOSThePasswordIsSetByWhatKeepsTheAccounts(t *testing.T) {
	for what, tt := range map[string]struct{ was, hash, systemctl, says string }{
		"a password":           {was: "!", hash: "$6$salt$abc", systemctl: "sed -i \"s,^root:[^:]*,root:$(cat DIR/run/nixvm/root_password_hash),\" DIR/accounts"},
		"none":                 {was: "$6$salt$old", systemctl: "sed -i 's,^root:[^:]*,root:!,' DIR/accounts"},
		"a service that fails": {was: "!", hash: "$6$salt$abc", systemctl: "exit 1", says: "pending root_password_hash\n"},
		"one that keeps it":    {was: "$6$salt$old", systemctl: "true", says: "pending root_password_hash\n"},
	} {
		t.Run(what, func(t *testing.T) {
			g := newLiveGuest(t)
			g.put("accounts", "root:"+tt.was+":1::::::\nadmin:!:1::::::\n")
			if err := os.Remove(g.path("etc/shadow")); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(g.path("accounts"), g.path("etc/shadow")); err != nil {
				t.Fatal(err)
			}
			g.put("run/current-system/sw/bin/systemctl", "#!/bin/sh\necho \"$*\" >> DIR/log\n"+tt.systemctl+"\n")
			stub, err := os.ReadFile(g.path("run/current-system/sw/bin/systemctl"))
			if err != nil {
				t.Fatal(err)
			}
			g.put("run/current-system/sw/bin/systemctl", strings.ReplaceAll(string(stub), "DIR", g.dir))
			files := identity()
			if tt.hash == "" {
				files["root_password_hash"] = tt.was + "\n"
			}
			g.medium(7, files)
			g.boot()
			files = identity()
			if tt.hash != "" {
				files["root_password_hash"] = tt.hash + "\n"
			}
			if what == "one that keeps it" {
				files["root_password_hash"] = "$6$salt$abc\n"
			}
			g.medium(8, files)
			if out, ok := g.apply(); !ok || out != tt.says+"generation 8\n" {
				t.Errorf("%q, %v", out, ok)
			}
			if did := g.did(); !slices.Equal(did, []string{"restart userborn.service"}) {
				t.Errorf("it did %q", did)
			}
		})
	}
}

func TestARunningGuestTakesNothingOfADamagedMedium(t *testing.T) {
	g := newLiveGuest(t)
	g.medium(7, identity())
	g.boot()
	files := identity()
	files["tcp_ports"] = "80\n81\n"
	for what, damage := range map[string]func(){
		"half a file":        func() { g.put("run/nixvm/medium/ssh_host_ed25519_key", "ke") },
		"a file of the last": func() { g.put("run/nixvm/medium/tcp_ports", "80\n") },
		"a missing file":     func() { os.Remove(g.path("run/nixvm/medium/hosts")) },
		"no generation":      func() { os.Remove(g.path("run/nixvm/medium/generation")) },
		"too large a file":   func() { g.put("run/nixvm/medium/hosts", strings.Repeat("x", 65537)) },
	} {
		g.medium(8, files)
		damage()
		if out, ok := g.apply(); ok || out == "" || len(g.did()) > 0 {
			t.Errorf("%s: %q, %v, %q", what, out, ok, g.did())
		}
		g.holds("var/identity/tcp_ports", "80\n")
		g.holds("var/identity/generation", "7\n")
		g.holds("var/identity/ssh_host_ed25519_key", "key\n")
	}
	g.medium(8, files)
	if out, ok := g.apply(); !ok || out != "generation 8\n" {
		t.Errorf("the whole one: %q", out)
	}
}

func TestWhatWasNotPutIntoForceIsDoneTheNextTime(t *testing.T) {
	g := newLiveGuest(t)
	g.medium(7, identity())
	g.boot()
	files := identity()
	files["tcp_ports"], files["resolv.conf"] = "80\n81\n", "nameserver 192.0.2.1\n"
	g.medium(8, files)
	g.put("unloadable", "")
	os.Remove(g.path("run/nixvm/firewall"))
	if out, ok := g.apply(); ok || !strings.Contains(out, "firewall rules of this identity cannot be loaded") {
		t.Errorf("rules that cannot be loaded: %q", out)
	}
	os.Remove(g.path("unloadable"))
	if out, ok := g.apply(); !ok || out != "generation 8\n" || !slices.Equal(g.did(), []string{"resolv", "firewall"}) {
		t.Errorf("the next time: %q, %q", out, g.did())
	}
	// And back, as the host does when it takes a change back.
	g.medium(7, identity())
	if out, ok := g.apply(); !ok || out != "generation 7\n" || !slices.Equal(g.did(), []string{"resolv", "firewall"}) {
		t.Errorf("back: %q, %q", out, g.did())
	}
	g.holds("var/identity/tcp_ports", "80\n")
}

func TestTheIdentityIsAppliedByOneProgramAtATime(t *testing.T) {
	g := newLiveGuest(t)
	g.medium(7, identity())
	g.boot()
	g.medium(8, identity())
	held := exec.Command("flock", g.path("run/nixvm/applying"), "sleep", "60")
	if err := held.Start(); err != nil {
		t.Fatal(err)
	}
	defer held.Wait() //nolint:errcheck // it is killed
	defer held.Process.Kill()
	for range 1000 { // until it has the lock
		if exec.Command("flock", "-n", g.path("run/nixvm/applying"), "true").Run() != nil {
			break
		}
	}
	if out, ok := g.apply(); ok || !strings.Contains(out, "is being applied") {
		t.Errorf("a second one: %q, %v", out, ok)
	}
}

func TestAMutableGuestIsNotGivenAnotherIdentity(t *testing.T) {
	g := newLiveGuest(t)
	g.put("lib/mode", "mutable\n")
	g.medium(8, identity())
	if out, ok := g.apply(); ok || !strings.Contains(out, "owns its identity") {
		t.Errorf("%q, %v", out, ok)
	}
}

// What a boot leaves after a power cut before any of its commands.
func TestAPowerCutLeavesOneWholeIdentity(t *testing.T) {
	cuts := 0
	for cut := 1; ; cut++ {
		g := newLiveGuest(t)
		g.medium(7, identity())
		g.boot()
		files := identity()
		files["tcp_ports"] = "80\n81\n"
		g.medium(8, files)
		script := fmt.Sprintf("left=%d\n", cut)
		for _, command := range []string{"rm", "mv", "mkdir", "cp"} {
			script += command + "() { left=$((left - 1)); [ $left != 0 ] || exit 9; busybox " + command + " \"$@\"; }\n"
		}
		setup := ". " + g.path("lib/log.sh") + "\n. " + g.path("lib/places.sh") + "\n. " + g.path("lib/medium.sh") + "\n"
		_, whole := g.shell(setup + script + "refresh_identity")
		// The medium is gone meanwhile: what is there must do.
		g.put("run/nixvm/medium/generation", "")
		g.shell(setup + "refresh_identity")
		ports, err := os.ReadFile(g.path("var/identity/tcp_ports"))
		generation, _ := os.ReadFile(g.path("var/identity/generation"))
		if err != nil || string(generation) != map[string]string{"80\n": "7\n", "80\n81\n": "8\n"}[string(ports)] {
			t.Errorf("cut before command %d: ports %q of generation %q, %v", cut, ports, generation, err)
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
