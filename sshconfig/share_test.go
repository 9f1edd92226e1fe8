package sshconfig

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestAnotherComputerReachesAVMByTheLinesThatAreShared(t *testing.T) {
	c, h := newConfig(t), host("demo")
	shared, err := c.Share(h, "192.0.2.7:22")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(file, []byte(shared.Config), 0o600); err != nil {
		t.Fatal(err)
	}
	for alias, account := range map[string]string{"demo": "user", "demo-admin": "admin"} {
		out, err := exec.Command("ssh", "-F", file, "-G", alias).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		for _, want := range []string{"hostname 192.0.2.7\n", "user " + account + "\n", "hostkeyalias nixvm-" + h.UUID + "\n", "stricthostkeychecking true\n", "port 22\n"} {
			if !strings.Contains(string(out), want) {
				t.Errorf("%s: ssh does not understand %q:\n%s", alias, want, out)
			}
		}
	}
	if !strings.HasPrefix(shared.KnownHost, "nixvm-"+h.UUID+" ssh-ed25519 AAAA") {
		t.Errorf("known_hosts: %q", shared.KnownHost)
	}
	for _, bad := range []string{"", "192.0.2.7", "evil\nHost *:22", "host.example:22"} {
		if _, err := c.Share(h, bad); err == nil {
			t.Errorf("the address %q is taken", bad)
		}
	}
	if s, err := c.Share(h, "192.0.2.7:2222"); err != nil || !strings.Contains(s.Config, "    Port 2222\n") {
		t.Errorf("%q, %v", s.Config, err)
	}
}
