package libvirt_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// file is one of the files of a VM.
func (h *host) file(vm, name string) string {
	return filepath.Join(h.layout.Libvirt(backendName), vm, name)
}

// qemuIO runs a command of qemu-io on a state disk.
func (h *host) qemuIO(t *testing.T, vm, command string) {
	t.Helper()
	out, err := exec.Command("qemu-io", "-f", "qcow2", "-c", command, h.file(vm, "state.qcow2")).CombinedOutput()
	if err != nil || strings.Contains(string(out), "failed") {
		t.Errorf("%s of the disk of %s: %v, %s", command, vm, err, out)
	}
}

func TestACloneHasTheDiskOfThatTime(t *testing.T) {
	h := empty(t)
	b, _ := h.opened(t)
	ctx := limit(t)
	must(t, b.Create(ctx, h.vm("demo"), nil))
	take := func(snapshot, write string) {
		t.Helper()
		h.qemuIO(t, "demo", write)
		_, err := b.CreateSnapshot(ctx, backends.Named("demo"), backends.SnapshotRequest{Name: snapshot})
		must(t, err)
	}
	take("first", "write -P 1 1M 64k") // its id is 1
	take("1", "write -P 2 1M 64k")
	h.qemuIO(t, "demo", "write -P 3 1M 64k")
	for vm, c := range map[string]struct{ snapshot, read string }{
		"now": {"", "read -P 3 1M 64k"}, "then": {"first", "read -P 1 1M 64k"}, "number": {"1", "read -P 2 1M 64k"},
	} {
		spec := h.vm(vm)
		spec.DiskBytes *= 2
		must(t, b.Clone(ctx, backends.Source{VM: backends.Named("demo"), Snapshot: c.snapshot}, spec, nil))
		h.qemuIO(t, vm, c.read)
		if got := h.Virsh(t, "snapshot-list", vm, "--name"); strings.TrimSpace(got) != "" {
			t.Errorf("virsh lists snapshots of the clone: %s", got)
		}
		if got := h.Virsh(t, "domuuid", vm); strings.TrimSpace(got) != spec.UUID {
			t.Errorf("the clone's UUID is %s", got)
		}
		must(t, b.Start(ctx, spec))
		must(t, b.Destroy(ctx, backends.Named(vm)))
	}
	h.qemuIO(t, "demo", "read -P 3 1M 64k")

	// What lies on top of the disk is not in the disk.
	h.Virsh(t, "snapshot-create-as", "demo", "outside", "--disk-only",
		"--diskspec", "vda,snapshot=no", "--diskspec", "vdb,snapshot=external,file="+h.file("demo", "layer.qcow2"))
	for _, snapshot := range []string{"", "outside"} {
		err := b.Clone(ctx, backends.Source{VM: backends.Named("demo"), Snapshot: snapshot}, h.vm("copy"), nil)
		if !problem.HasCode(err, problem.Unsupported) || !strings.Contains(err.Error(), "layer.qcow2") {
			t.Errorf("over an external snapshot: %v", err)
		}
	}
	must(t, b.Clone(ctx, backends.Source{VM: backends.Named("demo"), Snapshot: "first"}, h.vm("copy"), nil))
	h.qemuIO(t, "copy", "read -P 1 1M 64k")
}

func TestACloneOfAMutableVMHasItsUEFIVariables(t *testing.T) {
	h := empty(t)
	b, _ := h.opened(t)
	ctx := limit(t)
	spec := h.vm("demo")
	spec.Mutable, spec.Image.Kernel = true, ""
	must(t, b.Create(ctx, spec, nil))
	must(t, os.WriteFile(h.file("demo", "efivars.fd"), []byte("set by the guest"), 0o600))
	copied := h.vm("copy")
	copied.Mutable, copied.Image.Kernel = true, ""
	must(t, b.Clone(ctx, backends.Source{VM: backends.Named("demo")}, copied, nil))
	if got, err := os.ReadFile(h.file("copy", "efivars.fd")); err != nil || string(got) != "set by the guest" {
		t.Errorf("the clone's variables are %q, %v", got, err)
	}
}
