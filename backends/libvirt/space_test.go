package libvirt_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/backendtest/realmode"
	"github.com/nixvm/nixvm/internal/paths"
)

// The guest notices nothing: what it wrote while the host's disk was full is there when
// there is space again, and its disk is in order. The next daemon knows it, too.
func TestAFullDiskOfTheHostPausesTheGuestAndLosesNothing(t *testing.T) {
	small, err := os.MkdirTemp("", "nixvm-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(small) })
	realmode.SmallDisk(t, small, 0o711, func() {}) // before libvirtd, which has its own view of mounts
	h := empty(t)
	h.layout = paths.Under(small)
	h.prepare(t)
	dir := h.layout.Libvirt(backendName)
	must(t, os.WriteFile(h.image.Kernel, realmode.Writer(0x80), 0o644)) //nolint:gosec // QEMU's user reads it
	b, events := h.opened(t)
	ctx, spec, ref := limit(t), h.vm("demo"), backends.Named("demo")
	must(t, b.Create(ctx, spec, nil))
	// libvirt has the BIOS find only disks that it may boot from, which are none: the guest
	// gets its kernel from QEMU. That one is among them must be told here.
	x := strings.NewReplacer("<boot dev='hd'/>", "", "<target dev='vdb' bus='virtio'/>", "<target dev='vdb' bus='virtio'/><boot order='1'/>").
		Replace(h.Virsh(t, "dumpxml", "demo"))
	file := filepath.Join(t.TempDir(), "demo.xml")
	must(t, os.WriteFile(file, []byte(x), 0o600))
	h.Virsh(t, "define", file)
	h.Virsh(t, "start", "demo")
	awaits(t, events, "demo", backends.Running)
	free := realmode.TakeSpace(t, dir, 2<<20)
	c, err := b.Console(ctx, ref)
	must(t, err)
	stop := realmode.Begin(c)
	awaits(t, events, "demo", backends.Suspended)
	stop()
	full := func(b backends.Backend) {
		t.Helper()
		if st, err := b.Status(ctx, ref); err != nil || st.State != backends.Suspended || !st.Full || st.Reason != backends.HostFull {
			t.Fatalf("%+v, %v", st, err)
		}
	}
	full(b)
	if space, err := b.Space(ctx); err != nil || space.Free > 64<<10 || space.Name != dir {
		t.Errorf("the space is %+v, %v", space, err)
	}
	b, events = h.opened(t)
	awaits(t, events, "demo", backends.Suspended)
	full(b)
	free()
	must(t, b.Resume(ctx, ref))
	if st, err := b.Status(ctx, ref); err != nil || st.State != backends.Running || st.Full || st.Reason != "" {
		t.Errorf("%+v, %v", st, err)
	}
	if got := realmode.Answer(t, c); got != 'd' {
		t.Fatalf("the guest says %q, want d: all is written", got)
	}
	must(t, b.Kill(ctx, ref))
	realmode.CheckWritten(t, filepath.Join(dir, "demo", "state.qcow2"))
	must(t, b.Destroy(ctx, ref))

	pool := h.config
	pool.Pool = "nixvm"
	p := h.openWith(t, pool)
	defer p.Close()
	must(t, p.PrepareImage(ctx, spec.Image, nil))
	if space, err := p.Space(ctx); err != nil || space.Free <= 64<<20 || !strings.Contains(space.Name, "pool nixvm") {
		t.Errorf("the space of the pool is %+v, %v", space, err)
	}
}
