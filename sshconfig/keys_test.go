package sshconfig

import (
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/nixvm/nixvm/internal/problem"
)

func TestClientKeyIsMadeOnce(t *testing.T) {
	c := newConfig(t)
	var wg sync.WaitGroup
	lines := make([]string, 8)
	for i := range lines {
		wg.Go(func() {
			var err error
			if lines[i], err = c.PublicKey(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, l := range lines {
		if l != lines[0] || !strings.HasPrefix(l, "ssh-ed25519 ") || !strings.HasSuffix(l, " nixvm") {
			t.Errorf("%q and %q", l, lines[0])
		}
	}
	if fi, err := os.Stat(c.IdentityFile()); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("private key: %v %v", fi.Mode(), err)
	}
	if got := read(t, c.IdentityFile()+".pub"); got != lines[0]+"\n" {
		t.Errorf("public half: %q", got)
	}
	// OpenSSH reads the pure Go key and derives the same public half.
	out, err := exec.Command("ssh-keygen", "-y", "-f", c.IdentityFile()).CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != lines[0] {
		t.Errorf("ssh-keygen: %v %s", err, out)
	}
}

// TestDamagedClientKeyIsNotReplacedUnasked: Repair alone does that, which tells the machines.
func TestDamagedClientKeyIsNotReplacedUnasked(t *testing.T) {
	c := newConfig(t)
	if err := os.WriteFile(c.IdentityFile(), []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := c.PublicKey()
	wantCode(t, err, problem.ConfigInvalid, c.IdentityFile(), "restart nixvmd")
	if got := read(t, c.IdentityFile()); got != "damaged" {
		t.Errorf("replaced by %q", got)
	}
}
