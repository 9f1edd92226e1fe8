package libvirt

import (
	"os"
	"path/filepath"
	"testing"
)

func TestAHostThatPassesNoFramesToItsRulesIsReported(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bridge-nf-call-iptables")
	for content, want := range map[string]int{"0\n": 1, "1\n": 0} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := checkBridgeRules(file); len(got) != want {
			t.Errorf("%q: %v", content, got)
		}
	}
	if got := checkBridgeRules(file + "-missing"); got != nil {
		t.Errorf("without the switch: %v", got)
	}
}

func TestLogsThatAGuestCanGrowWithoutEndAreReported(t *testing.T) {
	file := filepath.Join(t.TempDir(), "qemu.conf")
	for content, want := range map[string]int{
		"# stdio_handler = \"file\"\n": 0, "stdio_handler = \"logd\"\n": 0, "user = \"root\"\n  stdio_handler=\"file\" # old\n": 1,
	} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := checkDomainLogs(file); len(got) != want {
			t.Errorf("%q: %v", content, got)
		}
	}
	if got := checkDomainLogs(file + "-missing"); got != nil {
		t.Errorf("without the file: %v", got)
	}
}
