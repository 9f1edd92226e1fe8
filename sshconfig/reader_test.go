package sshconfig

import (
	"os"
	"testing"

	"github.com/kevinburke/ssh_config"
)

// Editors and tools read SSH configurations with libraries of their own. What we
// write must mean the same to one that is not OpenSSH.
func TestAnotherReaderUnderstandsWhatIsWritten(t *testing.T) {
	c := newConfig(t, func(o *Options) { o.Executable = "/opt/nix vm/nixvmd" })
	mustApply(t, c, host("demo"))
	f, err := os.Open(c.ConfigFile())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	parsed, err := ssh_config.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	for keyword, want := range map[string]string{
		"User": "user", "StrictHostKeyChecking": "yes", "ForwardAgent": "no", "ControlMaster": "auto",
		"ProxyCommand": "'/opt/nix vm/nixvmd' proxy %n",
	} {
		if got, err := parsed.Get("demo", keyword); err != nil || got != want {
			t.Errorf("%s is %q, %v; want %q", keyword, got, err, want)
		}
	}
	if got, _ := parsed.Get("demo-admin", "User"); got != "admin" {
		t.Errorf("demo-admin logs in as %q", got)
	}
	if got, _ := parsed.Get("else", "ProxyCommand"); got != "" {
		t.Errorf("another host gets %q", got)
	}
}
