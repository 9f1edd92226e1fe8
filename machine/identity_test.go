package machine

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nixvm/nixvm/internal/problem"
)

func TestIdentityIsGeneratedOnce(t *testing.T) {
	s := newStore(t)
	m := create(t, s, Draft{Name: "demo"})
	before := files(t, s, "demo")
	again, err := s.EnsureIdentity("demo")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, files(t, s, "demo")); diff != "" {
		t.Errorf("a second EnsureIdentity changed files:\n%s", diff)
	}
	if again.MAC != m.MAC || again.HostKeyPublic != m.HostKeyPublic {
		t.Error("another identity")
	}
	for what, c := range map[string]struct{ value, pattern string }{
		"machine-id": {m.MachineID, `^[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}$`},
		"uuid":       {m.UUID, `^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`},
		"mac":        {m.MAC, `^52:54:00(:[0-9a-f]{2}){3}$`},
		"hostname":   {m.Hostname, `^demo$`},
		"host key":   {m.HostKeyPublic, `^ssh-ed25519 [A-Za-z0-9+/]{68}$`},
	} {
		if !regexp.MustCompile(c.pattern).MatchString(c.value) {
			t.Errorf("%s: %q", what, c.value)
		}
	}
}

func TestTwoMachinesShareNothingOfTheirIdentity(t *testing.T) {
	s := newStore(t)
	a, b := create(t, s, Draft{Name: "a"}), create(t, s, Draft{Name: "b"})
	if a.MachineID == b.MachineID || a.UUID == b.UUID || a.MAC == b.MAC || a.HostKeyPublic == b.HostKeyPublic {
		t.Errorf("%+v\n%+v", a, b)
	}
}

func TestAMACAddressOfAnotherMachineIsDrawnAgain(t *testing.T) {
	s := newStore(t)
	a := create(t, s, Draft{Name: "a"})
	write(t, s, "b", MACFile, strings.ToUpper(a.MAC)+"\n")
	taken := s.macTaken()
	if !taken(a.MAC) || taken("52:54:00:00:00:00") {
		t.Error("macTaken does not see the machines' addresses")
	}
	drawn := 0
	made, err := identity("c", content{}, func(string) bool { drawn++; return drawn < 3 })
	if err != nil || drawn != 3 || len(made[MACFile]) == 0 {
		t.Errorf("drawn %d times: %v", drawn, err)
	}
}

func TestTheHostKeyIsOneThatOpenSSHReads(t *testing.T) {
	keygen, err := exec.LookPath("ssh-keygen")
	if err != nil {
		t.Skip("ssh-keygen is not installed")
	}
	s := newStore(t)
	m := create(t, s, Draft{Name: "demo"})
	out, err := exec.Command(keygen, "-y", "-P", "", "-f", filepath.Join(s.Dir("demo"), HostKeyFile)).CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != m.HostKeyPublic+" root@demo" {
		t.Errorf("%v: %s\nwant %s", err, out, m.HostKeyPublic)
	}
	if got := read(t, s, "demo", HostKeyPubFile); got != m.HostKeyPublic+" root@demo\n" {
		t.Errorf("public key file: %q", got)
	}
}

func TestTheHostKeyIsRepairedNotReplaced(t *testing.T) {
	s := newStore(t)
	other := create(t, s, Draft{Name: "other"})
	for what, damage := range map[string]func(pub string) error{
		"the public half is missing":   os.Remove,
		"the public half is another's": func(p string) error { return os.WriteFile(p, []byte(other.HostKeyPublic+"\n"), 0o644) },
		"the public half is cut":       func(p string) error { return os.Truncate(p, 20) },
		"others may read the secret":   func(p string) error { return os.Chmod(strings.TrimSuffix(p, ".pub"), 0o644) },
		"others may read the password": func(p string) error { return os.Chmod(filepath.Join(filepath.Dir(p), RootPasswordFile), 0o644) },
	} {
		t.Run(what, func(t *testing.T) {
			s := newStore(t)
			m := create(t, s, Draft{Name: "demo"})
			private := read(t, s, "demo", HostKeyFile)
			if err := damage(filepath.Join(s.Dir("demo"), HostKeyPubFile)); err != nil {
				t.Fatal(err)
			}
			if m2, err := s.Read("demo"); err != nil || m2.HostKeyPublic != m.HostKeyPublic {
				t.Errorf("read: %v", err)
			}
			if _, err := s.EnsureIdentity("demo"); err != nil {
				t.Fatal(err)
			}
			if read(t, s, "demo", HostKeyFile) != private {
				t.Error("the host key was replaced")
			}
			if got := read(t, s, "demo", HostKeyPubFile); !strings.HasPrefix(got, m.HostKeyPublic) {
				t.Errorf("public half: %q", got)
			}
			for _, file := range []string{HostKeyFile, RootPasswordFile} {
				if fi, err := os.Stat(filepath.Join(s.Dir("demo"), file)); err != nil || fi.Mode().Perm() != 0o600 {
					t.Errorf("%s: %v, %v", file, fi.Mode(), err)
				}
			}
		})
	}
}

func TestHostKeysThatSSHDCannotUse(t *testing.T) {
	keygen, err := exec.LookPath("ssh-keygen")
	if err != nil {
		t.Skip("ssh-keygen is not installed")
	}
	for what, args := range map[string][]string{
		"a passphrase": {"-t", "ed25519", "-N", "secret"},
		"another type": {"-t", "ecdsa", "-N", ""},
	} {
		t.Run(what, func(t *testing.T) {
			s := newStore(t)
			write(t, s, "demo", ProfileFile, "core\n")
			key := filepath.Join(s.Dir("demo"), HostKeyFile)
			if out, err := exec.Command(keygen, append(args, "-q", "-f", key)...).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			_, err := s.EnsureIdentity("demo")
			wantProblem(t, err, problem.MachineBroken)
		})
	}
}
