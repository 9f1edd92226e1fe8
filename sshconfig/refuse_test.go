package sshconfig

import (
	"os"
	"strings"
	"testing"
)

// ssh, with the entry as it is applied, prints what the proxy has to say.
func TestRefuseIsPrintedBySSH(t *testing.T) {
	for name, reason := range map[string]string{
		"a reason":   "demo is not running; start it with: nixvmd start demo",
		"empty":      "",
		"long":       strings.Repeat("long ", 50),
		"any length": "x",
	} {
		t.Run(name, func(t *testing.T) {
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			c := newConfig(t, func(o *Options) { o.Executable = self })
			mustApply(t, c, host("demo"))
			t.Setenv(proxyEnv, refusePrefix+reason)
			out, err := runCommand("ssh", "-F", c.UserConfig(), "demo", "true")
			if err == nil || !strings.Contains(out, "Received disconnect from UNKNOWN port 65535:2: "+strings.TrimSpace(reason)) {
				t.Errorf("%v: %q", err, out)
			}
		})
	}
}
