package qemu

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/qemu/netstack"
	"github.com/nixvm/nixvm/internal/problem"
)

func TestTheNetworkOfARunningVMTakesOtherRules(t *testing.T) {
	s, b := running(t, usualLimits)
	file := filesOf(s.layout, "vm").path(socketDir + "/" + policyFile)
	isolation := func() *backends.Isolation {
		t.Helper()
		text, err := os.ReadFile(file)
		must(t, err)
		var p netstack.Policy
		must(t, json.Unmarshal(text, &p))
		return p.Isolation
	}
	before := isolation()
	spec := s.spec("vm")
	spec.Isolation = &backends.Isolation{AllowedCIDRs: []netip.Prefix{netip.MustParsePrefix("192.168.9.0/24")}}
	restore, err := b.ChangeIsolation(limit(t), spec)
	must(t, err)
	if got := isolation(); got == nil || len(got.AllowedCIDRs) != 1 {
		t.Errorf("%+v", got)
	}
	// The next daemon restores as well; and a process that came after it has the rules.
	must(t, restore(limit(t)))
	if got := isolation(); (got == nil) != (before == nil) {
		t.Errorf("restored: %+v, before %+v", got, before)
	}
	// A process that hangs, or is gone, leaves the rules that it had.
	socket := filesOf(s.layout, "vm").path(socketDir + "/" + networkSocket)
	must(t, os.Rename(socket, filepath.Join(filepath.Dir(socket), "away")))
	if _, err := b.ChangeIsolation(limit(t), spec); !problem.HasCode(err, problem.IdentityNotApplied) {
		t.Errorf("%v", err)
	}
	if got := isolation(); (got == nil) != (before == nil) {
		t.Errorf("after a refusal: %+v, before %+v", got, before)
	}
	must(t, b.Kill(limit(t), backends.Named("vm")))
	if _, err := b.ChangeIsolation(limit(t), spec); !problem.HasCode(err, problem.VMNotRunning) {
		t.Errorf("a VM that is off: %v", err)
	}
}
