package qemu

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// testLimit ends a hang; no test is about time.
const testLimit = 120 * time.Second

func limit(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), testLimit)
	t.Cleanup(cancel)
	return ctx
}

// made is a created VM that is destroyed at the end of the test.
func made(t testing.TB, b *Backend, spec backends.Spec) {
	t.Helper()
	must(t, b.Create(limit(t), spec, nil))
	t.Cleanup(func() {
		if err := b.Destroy(limit(t), backends.Named(spec.Name)); err != nil && !errors.Is(err, errClosed) {
			t.Errorf("destroy: %v", err)
		}
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%v %+v", err, problem.From(err))
	}
}

// await takes events until one fits.
func await(t testing.TB, b *Backend, fits func(backends.Event) bool) backends.Event {
	t.Helper()
	end := time.After(testLimit)
	for {
		select {
		case e, ok := <-b.Events():
			if !ok {
				t.Fatal("the events ended")
			}
			if fits(e) {
				return e
			}
		case <-end:
			t.Fatal("no such event")
		}
	}
}

func inState(s backends.State) func(backends.Event) bool {
	return func(e backends.Event) bool { return e.Kind == backends.StateChanged && e.Status.State == s }
}

func status(t testing.TB, b *Backend, name string) backends.Status {
	t.Helper()
	s, err := b.Status(limit(t), backends.Named(name))
	must(t, err)
	return s
}

func TestGuestPowersOffAndResetsByItself(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	_, b := running(t, usualLimits)
	c, err := b.Console(limit(t), backends.Named("vm"))
	must(t, err)
	typeAndRead(t, c, "hello")
	if _, err := c.Write([]byte("r")); err != nil {
		t.Fatal(err)
	}
	await(t, b, func(e backends.Event) bool { return e.Kind == backends.Rebooted })
	typeAndRead(t, c, "again")
	if _, err := c.Write([]byte("q")); err != nil {
		t.Fatal(err)
	}
	e := await(t, b, inState(backends.Stopped))
	if e.Status.Reason != "the guest powered off" {
		t.Errorf("%+v", e.Status)
	}
	if got := status(t, b, "vm"); got != e.Status {
		t.Errorf("%+v, the event said %+v", got, e.Status)
	}
	if _, err := io.Copy(io.Discard, c); err != nil {
		t.Errorf("the console ends with %v", err)
	}
	must(t, b.Destroy(limit(t), backends.Named("vm")))
	must(t, b.Close())
}

// typeAndRead types into the guest until it sends the text back: bytes typed
// before it listens are lost.
func typeAndRead(t *testing.T, c io.ReadWriter, text string) {
	t.Helper()
	seen := make(chan error, 1)
	go func() {
		var all bytes.Buffer
		buf := make([]byte, 64)
		for !strings.Contains(all.String(), text) {
			n, err := c.Read(buf)
			all.Write(buf[:n])
			if err != nil {
				seen <- err
				return
			}
		}
		seen <- nil
	}()
	end, again := time.After(testLimit), time.NewTicker(200*time.Millisecond)
	defer again.Stop()
	for {
		// The text has neither q nor r; one byte too many does no harm.
		if _, err := c.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-seen:
			if err != nil {
				t.Fatal(err)
			}
			return
		case <-again.C:
		case <-end:
			t.Fatalf("%q never came back", text)
		}
	}
}

func TestKilledQEMUIsACrash(t *testing.T) {
	s, b := running(t, usualLimits)
	must(t, unix.Kill(status(t, b, "vm").PID, unix.SIGKILL))
	e := await(t, b, inState(backends.Crashed))
	if e.Status.Reason == "" || e.Status.PID != 0 {
		t.Errorf("%+v", e.Status)
	}
	must(t, b.Start(limit(t), s.spec("vm")))
	must(t, unix.Kill(status(t, b, "vm").PID, unix.SIGTERM))
	await(t, b, inState(backends.Running))
	if e := await(t, b, inState(backends.Stopped)); !strings.Contains(e.Status.Reason, "another process") {
		t.Errorf("%+v", e.Status)
	}
}

func TestShutdownThatTheGuestIgnores(t *testing.T) {
	_, b := running(t, usualLimits)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := b.Shutdown(ctx, backends.Named("vm")); !problem.HasCode(err, problem.VMStopTimeout) {
		t.Errorf("%v", err)
	}
	if got := status(t, b, "vm").State; got != backends.Running {
		t.Errorf("afterwards it is %s", got)
	}
	// A Kill gets through while a Shutdown waits.
	waiting := make(chan error, 1)
	go func() { waiting <- b.Shutdown(limit(t), backends.Named("vm")) }()
	must(t, b.Kill(limit(t), backends.Named("vm")))
	must(t, <-waiting)
	if got := status(t, b, "vm"); got.State != backends.Stopped {
		t.Errorf("%+v", got)
	}
}

func TestPortIsKeptAndAvoided(t *testing.T) {
	s, b := stopped(t, usualLimits)
	port := func() int {
		must(t, b.Start(limit(t), s.spec("vm")))
		e, err := b.Endpoint(limit(t), backends.Named("vm"))
		must(t, err)
		_, p, err := net.SplitHostPort(e.Address)
		must(t, err)
		must(t, b.Kill(limit(t), backends.Named("vm")))
		n, err := strconv.Atoi(p)
		must(t, err)
		return n
	}
	first := port()
	if again := port(); again != first {
		t.Errorf("port %d, then %d", first, again)
	}
	l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(first))
	must(t, err)
	defer l.Close()
	if other := port(); other == first {
		t.Errorf("port %d is taken and used", first)
	}
}

// TestPortTakenBetweenChoiceAndUse: the port is taken after we looked.
func TestPortTakenBetweenChoiceAndUse(t *testing.T) {
	s, b := stopped(t, usualLimits)
	v, err := b.begin(limit(t), backends.Named("vm"))
	must(t, err)
	r, err := v.files.readRecord()
	must(t, err)
	l, err := b.prepare(limit(t), v.files, r, s.spec("vm"))
	must(t, err)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer taken.Close()
	l.port = taken.Addr().(*net.TCPAddr).Port
	err = b.launchOnce(limit(t), v, l)
	if !problem.HasCode(err, problem.PortTaken) {
		t.Errorf("%v", err)
	}
	must(t, b.launch(limit(t), v, r, l))
	v.finish()
	if got := status(t, b, "vm").State; got != backends.Running {
		t.Errorf("%s", got)
	}
}

func TestTwoBackendsDoNotShareAVM(t *testing.T) {
	s, b := running(t, usualLimits)
	other := s.open(t)
	if got := status(t, other, "vm"); got.State != backends.Unknown || got.Reason == "" {
		t.Errorf("the other sees %+v", got)
	}
	for what, err := range map[string]error{
		"Kill":    other.Kill(limit(t), backends.Named("vm")),
		"Destroy": other.Destroy(limit(t), backends.Named("vm")),
		"Start":   other.Start(limit(t), s.spec("vm")),
	} {
		if !problem.HasCode(err, problem.VMBusy) {
			t.Errorf("%s by the other: %v", what, err)
		}
	}
	must(t, b.Close())
	must(t, other.Kill(limit(t), backends.Named("vm"))) // now it is free to be taken over
	if got := status(t, other, "vm"); got.State != backends.Stopped {
		t.Errorf("%+v", got)
	}
	must(t, other.Destroy(limit(t), backends.Named("vm")))
}

func TestMissingProgramsSayHowToGetThem(t *testing.T) {
	s := newStage(t)
	b := s.open(t, func(c *Config) { c.QEMU = "qemu-is-not-here" })
	fatal := 0
	for _, f := range b.Check(limit(t)) {
		if f.Severity == backends.Fatal {
			fatal++
			if f.Code != "qemu.missing" || !strings.Contains(f.Fix, "apt install") || !strings.Contains(f.Fix, "nix ") {
				t.Errorf("%+v", f)
			}
		}
	}
	if fatal != 1 {
		t.Errorf("%d fatal findings", fatal)
	}
	if before := b.CheckCreate(limit(t)); len(before) != 1 || before[0].Code != "qemu.missing" {
		t.Errorf("before a create: %+v", before)
	}
	made(t, b, s.spec("vm"))
	if err := b.Start(limit(t), s.spec("vm")); !problem.HasCode(err, problem.BackendMissing) {
		t.Errorf("%v", err)
	}
	b = s.open(t, func(c *Config) { c.QemuImg = "qemu-img-is-not-here" })
	if err := b.Create(limit(t), s.spec("vm2"), nil); !problem.HasCode(err, problem.BackendMissing) {
		t.Errorf("%v", err)
	}
	if got := status(t, b, "vm2").State; got != backends.Absent {
		t.Errorf("%s", got)
	}
}

func TestImagesThatCannotBe(t *testing.T) {
	s := newStage(t)
	b := s.open(t)
	spec := s.spec("vm")
	spec.Image.Disk = filepath.Join(s.layout.State, "garbage")
	must(t, os.WriteFile(spec.Image.Disk, []byte("no qcow2"), 0o600))
	if err := b.Create(limit(t), spec, nil); !problem.HasCode(err, problem.ImageCorrupt) {
		t.Errorf("%v", err)
	}
	spec = s.spec("vm")
	spec.Mutable, spec.DiskBytes = true, 512<<10
	if err := b.Create(limit(t), spec, nil); !problem.HasCode(err, problem.SizeInvalid) {
		t.Errorf("a disk smaller than the image: %v", err)
	}
	left, err := os.ReadDir(s.layout.VMs())
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestAnAddressWhereNobodyFindsTheGuestIsRefused(t *testing.T) {
	s := newStage(t)
	b := s.open(t)
	spec := s.spec("vm")
	must(t, b.Create(limit(t), spec, nil))
	spec.StaticIP = netip.MustParsePrefix("192.168.1.10/24")
	if err := b.Start(limit(t), spec); !problem.HasCode(err, problem.MachineInvalid) || !strings.Contains(err.Error(), "static_ip") {
		t.Errorf("start: %v", err)
	}
	must(t, b.Destroy(limit(t), backends.Named("vm")))
	if err := b.Create(limit(t), spec, nil); !problem.HasCode(err, problem.MachineInvalid) {
		t.Errorf("create: %v", err)
	}
	spec.StaticIP = netip.MustParsePrefix("10.0.2.15/24")
	must(t, b.Create(limit(t), spec, nil))
	must(t, b.Destroy(limit(t), backends.Named("vm")))
}

func TestDiskGrowsWithItsSnapshots(t *testing.T) {
	for _, mutable := range []bool{false, true} {
		t.Run("mutable="+strconv.FormatBool(mutable), func(t *testing.T) {
			s := newStage(t)
			b := s.open(t)
			spec := s.spec("vm")
			spec.Mutable = mutable
			made(t, b, spec)
			_, err := b.CreateSnapshot(limit(t), backends.Named("vm"), backends.SnapshotRequest{Name: "small"})
			must(t, err)
			spec.DiskBytes *= 4
			must(t, b.Start(limit(t), spec))
			_, err = b.CreateSnapshot(limit(t), backends.Named("vm"), backends.SnapshotRequest{Name: "large"})
			must(t, err)
			must(t, b.Kill(limit(t), backends.Named("vm")))
			size := func() int64 {
				i, err := b.img.Info(limit(t), filesOf(s.layout, "vm").state(mutable), "qcow2")
				must(t, err)
				return i.VirtualSize
			}
			if size() != spec.DiskBytes {
				t.Errorf("%d bytes", size())
			}
			must(t, b.RestoreSnapshot(limit(t), backends.Named("vm"), "small"))
			if size() != spec.DiskBytes/4 {
				t.Errorf("after the restore %d bytes", size())
			}
			must(t, b.Start(limit(t), spec))
			must(t, b.Kill(limit(t), backends.Named("vm")))
			if size() != spec.DiskBytes {
				t.Errorf("after the next start %d bytes", size())
			}
		})
	}
}

// TestSnapshotNamedLikeAnID restores by the name "1" while another snapshot has
// the id 1: qemu-img alone would take that one.
func TestSnapshotNamedLikeAnID(t *testing.T) {
	s := newStage(t)
	b := s.open(t)
	spec := s.spec("vm")
	made(t, b, spec)
	take := func(name string) {
		_, err := b.CreateSnapshot(limit(t), backends.Named("vm"), backends.SnapshotRequest{Name: name})
		must(t, err)
	}
	take("first") // id 1, of the small disk
	must(t, b.img.Grow(limit(t), filesOf(s.layout, "vm").path(varFile), spec.DiskBytes, 2*spec.DiskBytes))
	take("1") // id 2, of the larger one
	must(t, b.RestoreSnapshot(limit(t), backends.Named("vm"), "1"))
	i, err := b.img.Info(limit(t), filesOf(s.layout, "vm").path(varFile), "qcow2")
	must(t, err)
	if i.VirtualSize != 2*spec.DiskBytes {
		t.Errorf("the wrong snapshot came back: %d bytes", i.VirtualSize)
	}
	must(t, b.DeleteSnapshot(limit(t), backends.Named("vm"), "1"))
	list, err := b.Snapshots(limit(t), backends.Named("vm"))
	must(t, err)
	if len(list) != 1 || list[0].Name != "first" {
		t.Errorf("%+v", list)
	}
}
