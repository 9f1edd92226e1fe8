package qemu

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/backendtest/realmode"
)

// The guest notices nothing: what it wrote while the host's disk was full is there when
// there is space again, and its disk is in order. The next daemon knows it, too.
func TestAFullDiskOfTheHostPausesTheGuestAndLosesNothing(t *testing.T) {
	s := newStage(t)
	realmode.SmallDisk(t, s.layout.VMs(), 0o700, func() { endGuests(t, filepath.Dir(s.layout.State)) })
	must(t, os.WriteFile(s.image.Kernel, realmode.Writer(0x81), 0o600))
	b := s.open(t)
	must(t, b.Create(limit(t), s.spec("vm"), nil))
	must(t, b.Start(limit(t), s.spec("vm")))
	free := realmode.TakeSpace(t, s.layout.VMs(), 2<<20)
	c, err := b.Console(limit(t), backends.Named("vm"))
	must(t, err)
	stop := realmode.Begin(c)
	full := func(st backends.Status) bool {
		return st.State == backends.Suspended && st.Full && st.Reason == backends.HostFull
	}
	paused := await(t, b, inState(backends.Suspended))
	stop()
	if !full(paused.Status) || !full(status(t, b, "vm")) {
		t.Fatalf("%+v, now %+v", paused.Status, status(t, b, "vm"))
	}
	if space, err := b.Space(limit(t)); err != nil || space.Free > 64<<10 || space.Name != s.layout.VMs() {
		t.Errorf("the space is %+v, %v", space, err)
	}
	must(t, b.Close())

	b = s.open(t)
	if e := await(t, b, inState(backends.Suspended)); !full(e.Status) {
		t.Fatalf("the next backend says %+v", e.Status)
	}
	c, err = b.Console(limit(t), backends.Named("vm"))
	must(t, err)
	free()
	must(t, b.Resume(limit(t), backends.Named("vm")))
	if got := status(t, b, "vm"); got.State != backends.Running || got.Full || got.Reason != "" {
		t.Errorf("%+v", got)
	}
	if got := realmode.Answer(t, c); got != 'd' {
		t.Fatalf("the guest says %q, want d: all is written", got)
	}
	if _, err := c.Write([]byte("q")); err != nil {
		t.Fatal(err)
	}
	await(t, b, inState(backends.Stopped))
	realmode.CheckWritten(t, filepath.Join(s.layout.VM("vm"), varFile))
	must(t, b.Destroy(limit(t), backends.Named("vm")))
}
