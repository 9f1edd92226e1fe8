package libvirt_test

import (
	"strings"
	"testing"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/libvirt/libvirttest"
	"github.com/nixvm/nixvm/internal/problem"
)

// TestARenamedVMKeepsItsFilter looks at what libvirtd knows of an isolated VM that has got
// another name: nothing in it has the former one.
func TestARenamedVMKeepsItsFilter(t *testing.T) {
	h := libvirttest.Start(t)
	h.StartDefaultNetwork(t)
	host := newHost(t, h)
	b := host.openWith(t, host.config)
	defer b.Close()
	ctx := limit(t)
	spec := host.spec("former")
	spec.Isolation = &backends.Isolation{}
	must(t, b.Create(ctx, spec, nil))
	_, err := b.CreateSnapshot(ctx, spec.Ref(), backends.SnapshotRequest{Name: "one", Description: "of the former"})
	must(t, err)
	address := h.Virsh(t, "net-dumpxml", "default")

	must(t, b.Rename(ctx, spec.Ref(), "latter"))
	if got := h.Virsh(t, "list", "--all", "--name"); got != "latter" {
		t.Errorf("the domains are %q, want latter", got)
	}
	if got := h.Virsh(t, "nwfilter-list"); !strings.Contains(got, "-latter") || strings.Contains(got, "former") {
		t.Errorf("the filters are:\n%s", got)
	}
	if got := h.Virsh(t, "net-dumpxml", "default"); got != address {
		t.Errorf("the network is now\n%s\nbefore\n%s", got, address)
	}
	definition := h.Virsh(t, "dumpxml", "latter")
	if !strings.Contains(definition, "-latter'") { // its filter
		t.Errorf("no filter in %s", definition)
	}
	snapshot := h.Virsh(t, "snapshot-dumpxml", "latter", "one")
	if !strings.Contains(snapshot, "of the former") {
		t.Errorf("the description is lost: %s", snapshot)
	}
	for _, text := range []string{definition, strings.ReplaceAll(snapshot, "of the former", "")} {
		if strings.Contains(text, "former") {
			t.Errorf("it has the former name: %s", text)
		}
	}

	// A restore brings the definition of the snapshot back: it starts with it. One that runs
	// is refused, and stays as it is.
	spec.Name = "latter"
	must(t, b.RestoreSnapshot(ctx, spec.Ref(), "one"))
	must(t, b.Start(ctx, spec))
	if err := b.Rename(ctx, spec.Ref(), "former"); !problem.HasCode(err, problem.VMRunning) {
		t.Errorf("Rename of a VM that runs: %v", err)
	}
	must(t, b.Kill(ctx, spec.Ref()))
	must(t, b.Destroy(ctx, spec.Ref()))
	if got := h.Virsh(t, "list", "--all", "--name") + h.Virsh(t, "nwfilter-list"); strings.Contains(got, "latter") || strings.Contains(got, "nixvm-") {
		t.Errorf("it leaves %s", got)
	}
}
