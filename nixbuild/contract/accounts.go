package contract

import (
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

var accountChecks = []check{
	{name: "admin may do anything with sudo, without a password", run: prints("sudo -n id -u", "0")},
	{name: "user has no sudo", run: func(t *testing.T, g *guest) {
		if out, status := output(t, g.user, "sudo -n id -u"); status == 0 {
			t.Errorf("sudo gave user %q", out)
		}
	}},
	{name: "both accounts have a home of their own, closed to others", run: func(t *testing.T, g *guest) {
		for name, client := range map[string]*ssh.Client{"admin": g.admin, "user": g.user} {
			out, status := output(t, client, "stat -c %U:%a ~ && pwd")
			if want := name + ":700\n/home/" + name; status != 0 || out != want {
				t.Errorf("the home of %s is %q, want %q", name, out, want)
			}
		}
		if _, status := output(t, g.user, "ls /home/admin"); status == 0 {
			t.Error("user can look into the home of admin")
		}
	}},
	{name: "root cannot log in by ssh", run: func(t *testing.T, g *guest) {
		if c, err := g.dial("root", ssh.PublicKeys(g.Key)); err == nil {
			c.Close()
			t.Error("root logged in")
		}
	}},
	{name: "another key is refused", run: func(t *testing.T, g *guest) {
		stranger, _ := newKey(t)
		if c, err := g.dial("admin", ssh.PublicKeys(stranger)); err == nil {
			c.Close()
			t.Error("an unauthorised key logged in as admin")
		}
	}},
	{name: "keys are the only way to log in: passwords are not even offered", run: func(t *testing.T, g *guest) {
		asked := false
		password := ssh.PasswordCallback(func() (string, error) { asked = true; return "admin", nil })
		keyboard := ssh.KeyboardInteractive(func(_, _ string, questions []string, _ []bool) ([]string, error) {
			asked = true
			return make([]string, len(questions)), nil
		})
		if c, err := g.dial("admin", password, keyboard); err == nil {
			c.Close()
			t.Error("logged in without a key")
		}
		if asked {
			t.Error("the guest asked for a password")
		}
	}},
	{name: "the pinned host key is the only one", run: func(t *testing.T, g *guest) {
		for _, algorithm := range []string{ssh.KeyAlgoRSASHA256, ssh.KeyAlgoECDSA256} {
			c, err := g.dialWith(&ssh.ClientConfig{
				User: "admin", Auth: []ssh.AuthMethod{ssh.PublicKeys(g.Key)},
				HostKeyCallback:   ssh.InsecureIgnoreHostKey(), //nolint:gosec // that it connects at all is the failure
				HostKeyAlgorithms: []string{algorithm},
			})
			if err == nil {
				c.Close()
				t.Errorf("the guest also has a host key for %s", algorithm)
			} else if !strings.Contains(err.Error(), "no common algorithm") {
				t.Errorf("%s: %v", algorithm, err)
			}
		}
	}},
}
