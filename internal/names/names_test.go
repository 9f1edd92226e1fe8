package names

import (
	"strings"
	"testing"

	"github.com/nixvm/nixvm/internal/problem"
)

func wantProblem(t *testing.T, err error, code problem.Code) {
	t.Helper()
	if !problem.HasCode(err, code) {
		t.Fatalf("got error %v, want %s", err, code)
	}
	if problem.From(err).Hint == "" {
		t.Errorf("%v has no hint", err)
	}
}

func TestMachineNamesAreDNSLabels(t *testing.T) {
	for _, name := range []string{"a", "7", "claude-dev", "a--b", "0x", strings.Repeat("a", 63)} {
		if err := Machine(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{
		"", "-a", "a-", "A", "a_b", "a.b", "a b", "a/b", "..", ".", "a\n", "\na", "a\x00", "ä", "a;b", "$(a)", "--help",
		strings.Repeat("a", 64), strings.Repeat("a", 1<<20),
	} {
		err := Machine(name)
		wantProblem(t, err, problem.MachineNameInvalid)
		if msg := err.Error(); len(msg) > 400 || strings.ContainsAny(msg, "\n\x00") {
			t.Errorf("message is not one short line: %q", msg)
		}
	}
}

func TestNamesThatMeanSomethingElseAreRefusedForNewMachines(t *testing.T) {
	for _, name := range []string{"localhost", "ip6-localhost", "ip6-loopback", "broadcasthost", "7", "2130706433", "0x", "0x7f000001"} {
		if err := Machine(name); err != nil {
			t.Errorf("%q, which there may be already: %v", name, err)
		}
		wantProblem(t, NewMachine(name), problem.MachineNameInvalid)
	}
	for _, name := range []string{"demo", "admin", "administrator", "localhost2", "7a", "0xg", "all", "demo-admin"} {
		if err := NewMachine(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	wantProblem(t, NewMachine("A"), problem.MachineNameInvalid)
}

func TestProfileNamesAreFilesOfTheFlake(t *testing.T) {
	for _, name := range []string{"a", "7", "claude", "open-code", "a-", "a--b", strings.Repeat("a", 32)} {
		if !IsProfile(name) {
			t.Errorf("%q is refused", name)
		}
	}
	for _, name := range []string{"", "-a", "A", "a_b", "a.nix", "a/b", "..", "a b", "a,b", "a\n", "ä", strings.Repeat("a", 33)} {
		if IsProfile(name) {
			t.Errorf("%q is taken", name)
		}
	}
}

func TestSnapshotNamesAreNoOptionsPathsOrLists(t *testing.T) {
	for _, name := range []string{"a", "1", "before-refactor", "v1.2_3", strings.Repeat("a", 63)} {
		if err := Snapshot(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"", "-a", ".a", "_a", "a b", "a/b", "a,b", "a\n", "ä", strings.Repeat("a", 64)} {
		wantProblem(t, Snapshot(name), problem.SnapshotNameInvalid)
	}
}

func TestBridgesAndSSHHostsFitWhatReadsThem(t *testing.T) {
	for name, rule := range map[string]struct {
		is        func(string) bool
		good, bad []string
	}{
		"a bridge": {
			IsBridge,
			[]string{"br0", "virbr0", "br-1a2b3c4d5e6f", "_x", "lan.100"},
			[]string{"", "-br0", "br0,x", "br 0", "a/b", "abcdefghijklmnop", "br0\n"},
		},
		"an SSH host": {
			IsSSHHost,
			[]string{"demo", "demo-admin", strings.Repeat("a", 63) + "-admin"},
			[]string{"", "demo-", "Demo", "a.b", "*", strings.Repeat("a", 70)},
		},
		"an SSH prefix": {
			IsSSHPrefix,
			[]string{"", "vm-", "x"},
			[]string{"-", "Vm", "a b", "a*", strings.Repeat("a", 33)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, s := range rule.good {
				if !rule.is(s) {
					t.Errorf("%q is refused", s)
				}
			}
			for _, s := range rule.bad {
				if rule.is(s) {
					t.Errorf("%q is taken", s)
				}
			}
		})
	}
}

func TestASuggestedNameIsFreeAndValid(t *testing.T) {
	taken := map[string]bool{"x": true, "x-2": true, "agent": true}
	for text, want := range map[string]string{
		"My Project": "my-project", "--x--": "x-3", "": "agent-2", "___": "agent-2", "localhost": "agent-2", "demo": "demo",
		"\u00fcber/caf\u00e9": "ber-caf", strings.Repeat("y", 50): "agent-2",
	} {
		if got := Suggest(text, func(name string) bool { return taken[name] }); got != want || !IsMachine(got) {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}
