package backendtest

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// RunShort is the part of Run that depends on where a backend keeps its disks:
// boot, snapshots, and a disk that grows. It is for a second configuration of a
// backend that passes the whole of Run in another one.
func RunShort(t *testing.T, h Harness) {
	s := newSuite(t, h.complete())
	const name = "conf-short"
	l := &life{suite: s, name: name, spec: s.create(name)}
	s.step("start", l.start)
	s.step("guest answers", l.answers)
	s.step("live snapshot", l.snapshotLive)
	s.step("disk grows while it runs", l.growLive)
	s.step("free blocks go back to the host", l.trims)
	s.step("shutdown", l.shutdown)
	s.step("restore", l.restore)
	s.step("start with a larger disk", l.grow)
	s.step("destroy", l.destroy)
}

// testLife takes one VM through everything that needs a running guest.
func testLife(s *suite) {
	const name = "conf-life"
	spec := s.create(name)
	l := &life{suite: s, name: name, spec: spec}
	s.destroyAtEnd(cloneThen)
	s.step("start", l.start)
	s.step("guest answers", l.answers)
	s.step("another VM of its name", func() { l.namesake(l.spec, backends.Running) })
	s.step("console", l.console)
	s.step("suspend and resume", l.suspend)
	s.step("live snapshot", l.snapshotLive)
	s.step("clone while it runs", l.cloneLive)
	s.step("another identity while it runs", l.renew)
	s.step("disk grows while it runs", l.growLive)
	s.step("free blocks go back to the host", l.trims)
	s.step("daemon restarts", l.restart)
	if s.h.Exhaustive {
		s.step("reboot", l.reboot)
	}
	s.step("shutdown", l.shutdown)
	s.step("clones", l.clones)
	s.step("restore", l.restore)
	s.step("start with a larger disk", l.grow)
	s.step("snapshot with power off", l.snapshotOff)
	s.step("crash", l.crash)
	s.step("destroy", l.destroy)
}

type life struct {
	*suite
	name string
	spec backends.Spec
	then backends.Spec // of the clone that was made while it ran
}

func (l *life) start() {
	mark := l.events.mark()
	l.spec.Autostart = l.can.Autostart
	l.must(l.b.Start(l.limit(), l.spec), "Start")
	l.startsWithHost(l.name, l.spec.Autostart)
	st := l.state(l.name, backends.Running)
	if st.Started.IsZero() || time.Since(st.Started).Abs() > 10*l.h.Limit {
		l.Errorf("started at %v", st.Started)
	}
	l.marks(mark, l.name, backends.Running)
	l.becomes(mark, l.name, backends.Running)
	l.kept()
	l.must(l.b.Start(l.limit(), l.spec), "Start of a running VM")
	if swapper, ok := backends.As[backends.ImageSwapper](l.b); ok && !l.spec.Mutable {
		l.refused(swapper.SwapImage(l.limit(), l.spec), problem.VMRunning, "SwapImage of a running VM")
	}
	if l.snapshots() {
		l.refused(l.snapshotter().RestoreSnapshot(l.limit(), backends.Named(l.name), "nosuch"), problem.VMRunning, "RestoreSnapshot of a running VM")
	}
	l.refused(l.b.Create(l.limit(), l.spec, nil), problem.VMExists, "Create of a running VM")
	if l.can.Clone {
		from := backends.Source{VM: backends.Named(l.name)}
		l.refused(l.cloner().Clone(l.limit(), from, l.h.Spec(l.T, "conf-now"), nil), problem.VMRunning, "Clone of a running VM")
	}
	l.agentUp(mark)
}

// kept: a backend that can tell what it has of the VM tells what it was given.
func (l *life) kept() {
	l.Helper()
	keeper, ok := backends.As[backends.Keeper](l.b)
	if !ok {
		return
	}
	k, err := keeper.Kept(l.limit(), backends.Named(l.name))
	l.must(err, "Kept")
	if k.UUID != l.spec.UUID || k.MAC != l.spec.MAC || k.Mutable != l.spec.Mutable || k.ImageID != l.spec.Image.ID ||
		k.Identity != nil && !bytes.Equal(k.Identity, l.spec.Identity) || k.DiskBytes != 0 && k.DiskBytes != l.spec.DiskBytes {
		k.Identity = nil // too long to be shown
		l.Errorf("Kept: %+v", k)
	}
}

// agentUp waits for the guest's agent.
func (l *life) agentUp(mark int) {
	l.Helper()
	l.happens(mark, l.name, backends.GuestAgentUp)
}

func (l *life) answers() {
	e := l.endpoint(l.name)
	if e.Network != "tcp" || !strings.Contains(e.Address, ":") {
		l.Errorf("endpoint %+v", e)
	}
	if l.h.Exec == nil {
		l.Skip("this harness cannot run commands in the guest")
	}
	l.run(l.name, "echo one > "+l.file())
	if got := strings.TrimSpace(l.run(l.name, "cat "+l.file())); got != "one" {
		l.Errorf("the guest's file holds %q", got)
	}
}

// file is what snapshots bring back.
func (l *life) file() string { return l.h.StateDisk + "/conformance" }

// console sends a line from the guest to two clients at once.
func (l *life) console() {
	if !l.can.Console {
		l.Skip("this backend has no consoles")
	}
	if l.h.Exec == nil {
		l.Skip("this harness cannot run commands in the guest")
	}
	var clients []io.ReadWriteCloser
	for range 2 {
		c, err := as[backends.Console](l.suite).Console(l.limit(), backends.Named(l.name))
		l.must(err, "Console")
		defer c.Close()
		clients = append(clients, c)
	}
	l.run(l.name, "echo console-speaks > /dev/ttyS0")
	for _, c := range clients {
		l.reads(c, "console-speaks")
	}
	l.must(clients[0].Close(), "Close of a console")
	l.run(l.name, "echo still-speaks > /dev/ttyS0")
	l.reads(clients[1], "still-speaks")
}

// reads reads from a console until text appears.
func (l *life) reads(c io.ReadCloser, text string) {
	l.Helper()
	timer := time.AfterFunc(l.h.Limit, func() { c.Close() })
	defer timer.Stop()
	var seen bytes.Buffer
	buf := make([]byte, 4096)
	for !bytes.Contains(seen.Bytes(), []byte(text)) {
		n, err := c.Read(buf)
		seen.Write(buf[:n])
		if err != nil {
			l.Fatalf("the console ends (%v) before %q; it said %q", err, text, seen.Bytes())
		}
	}
}

func (l *life) suspend() {
	if !l.can.Suspend {
		l.Skip("this backend suspends no VMs")
	}
	mark := l.events.mark()
	l.must(l.suspender().Suspend(l.limit(), backends.Named(l.name)), "Suspend")
	l.becomes(mark, l.name, backends.Suspended)
	l.state(l.name, backends.Suspended)
	l.must(l.suspender().Suspend(l.limit(), backends.Named(l.name)), "a second Suspend")
	mark = l.events.mark()
	l.must(l.suspender().Resume(l.limit(), backends.Named(l.name)), "Resume")
	l.becomes(mark, l.name, backends.Running)
	l.state(l.name, backends.Running)
	l.must(l.suspender().Resume(l.limit(), backends.Named(l.name)), "a second Resume")
	l.clock()
}

// clock: that of a guest which runs is put right, however it went wrong.
func (l *life) clock() {
	keeper, ok := backends.As[backends.ClockKeeper](l.b)
	if !ok || l.h.Exec == nil {
		return
	}
	setBack := func() { l.run(l.name, "date -s @$(($(date +%s) - 3600))") }
	right := func(what string) {
		seconds, err := strconv.ParseInt(strings.TrimSpace(l.run(l.name, "date +%s")), 10, 64)
		if behind := time.Since(time.Unix(seconds, 0)); err != nil || behind.Abs() > 10*time.Minute {
			l.Errorf("after %s the guest is %s behind, %v", what, behind, err)
		}
	}
	setBack()
	l.must(l.suspender().Resume(l.limit(), backends.Named(l.name)), "Resume of a VM that runs")
	right("Resume of a VM that runs")
	setBack()
	step, err := keeper.SyncClock(l.limit(), backends.Named(l.name))
	if err != nil || !step.Stepped || step.Behind < 50*time.Minute || step.Behind > 70*time.Minute {
		l.Errorf("SyncClock of a guest that is an hour behind: %+v, %v", step, err)
	}
	right("SyncClock")
}

// snapshotLive leaves the snapshot "live" with "one" in the file and "two" in
// the running guest.
func (l *life) snapshotLive() {
	if !l.snapshots() {
		l.Skip("this backend takes no snapshots")
	}
	if !l.can.LiveSnapshot {
		_, err := l.snapshotter().CreateSnapshot(l.limit(), backends.Named(l.name), backends.SnapshotRequest{Name: "live"})
		l.refused(err, problem.VMRunning, "CreateSnapshot of a running VM")
		return
	}
	got := l.snapshot(l.name, backends.SnapshotRequest{Name: "live", Description: "while it runs"})
	if !got.Frozen {
		l.Errorf("the guest has an agent and was not frozen: %+v", got)
	}
	l.snapshot(l.name, backends.SnapshotRequest{Name: "short-lived"})
	l.snapshotNames(l.name, "live", "short-lived")
	l.must(l.snapshotter().DeleteSnapshot(l.limit(), backends.Named(l.name), "short-lived"), "DeleteSnapshot while it runs")
	l.snapshotNames(l.name, "live")
	l.state(l.name, backends.Running)
	if l.h.Exec != nil {
		// A guest that was left frozen hangs here.
		l.run(l.name, "echo two > "+l.file()+"; sync")
	}
}

// restart closes and opens the backend while the VM runs.
func (l *life) restart() {
	before := l.state(l.name, backends.Running)
	l.reopen()
	after := l.state(l.name, backends.Running)
	if before.PID != after.PID || !before.Started.Equal(after.Started) {
		l.Errorf("before the restart %+v, after it %+v", before, after)
	}
	if !l.snapshots() {
		return
	}
	if !l.can.LiveSnapshot {
		l.snapshotNames(l.name)
		return
	}
	list := l.snapshotNames(l.name, "live")
	if list[0].Description != "while it runs" || !list[0].Frozen {
		l.Errorf("the snapshot after a restart: %+v", list[0])
	}
	if l.h.Exec != nil {
		if got := strings.TrimSpace(l.run(l.name, "cat "+l.file())); got != "two" {
			l.Errorf("the guest's file holds %q", got)
		}
	}
}

// reboot is the guest's own wish: the VM runs on.
func (l *life) reboot() {
	if l.h.Exec == nil {
		l.Skip("this harness cannot run commands in the guest")
	}
	mark := l.events.mark()
	// The connection may end before the command does; what counts is the event.
	_, err := l.h.Exec(l.limit(), l.endpoint(l.name), "shutdown -r now")
	l.Logf("shutdown -r now: %v", err)
	l.happens(mark, l.name, backends.Rebooted)
	l.state(l.name, backends.Running)
	l.agentUp(mark)
}

func (l *life) shutdown() {
	mark := l.events.mark()
	l.must(l.b.Shutdown(l.limit(), backends.Named(l.name)), "Shutdown")
	l.becomes(mark, l.name, backends.Stopped)
	l.state(l.name, backends.Stopped)
	l.must(l.b.Shutdown(l.limit(), backends.Named(l.name)), "a second Shutdown")
	l.growStopped()
}

// restore brings "one" back and keeps the safety snapshot taken before it.
func (l *life) restore() {
	if !l.can.LiveSnapshot {
		l.Skip("there is no snapshot of the running guest")
	}
	l.snapshot(l.name, backends.SnapshotRequest{Name: "safety"})
	l.must(l.snapshotter().RestoreSnapshot(l.limit(), backends.Named(l.name), "live"), "RestoreSnapshot")
	l.snapshotNames(l.name, "live", "safety")
	l.state(l.name, backends.Stopped)
}

// grow starts with a disk of twice the size; the snapshots stay.
func (l *life) grow() {
	smaller := l.spec
	smaller.DiskBytes /= 2
	l.refused(l.b.Start(l.limit(), smaller), problem.SizeInvalid, "Start with a smaller disk")
	if l.can.Resize {
		l.spec.DiskBytes *= 2
	}
	mark := l.events.mark()
	l.must(l.b.Start(l.limit(), l.spec), "Start with a larger disk")
	l.agentUp(mark)
	if l.h.Exec == nil {
		return
	}
	if got := l.sizeInGuest(); l.can.Resize && got < l.spec.DiskBytes*3/4 {
		l.Errorf("%s has %d bytes on a disk of %d: the guest has not grown it", l.h.StateDisk, got, l.spec.DiskBytes)
	}
	if got := strings.TrimSpace(l.run(l.name, "cat "+l.file())); got != "one" && l.can.LiveSnapshot {
		l.Errorf("after the restore the guest's file holds %q", got)
	}
}

// sizeInGuest is the size of the file system on the state disk, in bytes.
func (l *life) sizeInGuest() int64 {
	l.Helper()
	var blocks, size int64
	out := l.run(l.name, "stat -f -c %b,%S "+l.h.StateDisk)
	if _, err := fmt.Sscanf(out, "%d,%d", &blocks, &size); err != nil {
		l.Fatalf("stat says %q: %v", out, err)
	}
	return blocks * size
}

// snapshotOff ends the VM with its snapshot.
func (l *life) snapshotOff() {
	if !l.snapshots() {
		l.must(l.b.Kill(l.limit(), backends.Named(l.name)), "Kill")
		return
	}
	mark := l.events.mark()
	got := l.snapshot(l.name, backends.SnapshotRequest{Name: "off", PowerOff: true})
	if !got.Frozen && l.can.LiveSnapshot {
		l.Errorf("not frozen: %+v", got)
	}
	l.becomes(mark, l.name, backends.Stopped)
	l.state(l.name, backends.Stopped)
}

func (l *life) crash() {
	if l.h.Murder == nil {
		l.Skip("this harness cannot crash a VM")
	}
	l.must(l.b.Start(l.limit(), l.spec), "Start")
	mark := l.events.mark()
	l.h.Murder(l.T, l.state(l.name, backends.Running))
	st := l.becomes(mark, l.name, backends.Crashed)
	if st.Reason == "" {
		l.Errorf("a crash without a reason")
	}
	l.state(l.name, backends.Crashed)
	l.reopen()
	l.state(l.name, backends.Crashed)
	l.must(l.b.Start(l.limit(), l.spec), "Start after a crash")
	l.state(l.name, backends.Running)
}

// destroy removes the VM while it runs, and while a Shutdown waits for it.
func (l *life) destroy() {
	mark := l.events.mark()
	waited, ctx := make(chan struct{}), l.limit()
	go func() {
		defer close(waited)
		_ = l.b.Shutdown(ctx, backends.Named(l.name)) // how it ends depends on who was first
	}()
	defer func() { <-waited }()
	l.must(l.b.Destroy(l.limit(), backends.Named(l.name)), "Destroy")
	l.becomes(mark, l.name, backends.Absent)
	l.state(l.name, backends.Absent)
}
