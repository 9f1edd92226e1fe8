package machine

import (
	"strings"
	"testing"

	"github.com/nixvm/nixvm/internal/problem"
)

func TestValidNames(t *testing.T) {
	for _, name := range []string{"a", "7", "claude-dev", "a--b", "0x", strings.Repeat("a", 63)} {
		if err := ValidName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{
		"", "-a", "a-", "A", "a_b", "a.b", "a b", "a/b", "..", ".", "a\n", "\na", "a\x00", "ä", "a;b", "$(a)", "--help",
		strings.Repeat("a", 64), strings.Repeat("a", 1<<20),
	} {
		err := ValidName(name)
		wantProblem(t, err, problem.MachineNameInvalid)
		if msg := err.Error(); len(msg) > 400 || strings.ContainsAny(msg, "\n\x00") {
			t.Errorf("message is not one short line: %q", msg)
		}
	}
}

func TestNamesThatMeanSomethingElseAreRefusedForNewMachines(t *testing.T) {
	for _, name := range []string{"localhost", "ip6-localhost", "ip6-loopback", "broadcasthost", "7", "2130706433", "0x", "0x7f000001"} {
		if err := ValidName(name); err != nil {
			t.Errorf("%q, which there may be already: %v", name, err)
		}
		wantProblem(t, NewName(name), problem.MachineNameInvalid)
		wantProblem(t, Draft{Name: name}.Check(), problem.MachineNameInvalid)
	}
	for _, name := range []string{"demo", "admin", "administrator", "localhost2", "7a", "0xg", "all", "demo-admin"} {
		if err := NewName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	wantProblem(t, NewName("A"), problem.MachineNameInvalid)
}
