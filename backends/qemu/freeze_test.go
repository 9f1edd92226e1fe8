package qemu

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// words are the commands whose order matters.
var words = []string{"guest-exec", "freeze", "stop", "snapshot-internal-sync", "thaw", "cont", "quit"}

func TestSnapshotIsTakenBetweenFreezeAndThaw(t *testing.T) {
	f := newFake(t)
	got, err := f.snapshot(backends.SnapshotRequest{Name: "a", Description: "d"})
	must(t, err)
	if !got.Frozen || got.Created.IsZero() {
		t.Errorf("%+v", got)
	}
	if got, want := f.said(words...), "guest-exec freeze snapshot-internal-sync thaw"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	f.thawed()
}

func TestSnapshotWithPowerOffNeverThaws(t *testing.T) {
	f := newFake(t)
	got, err := f.snapshot(backends.SnapshotRequest{Name: "a", PowerOff: true})
	must(t, err)
	if !got.Frozen {
		t.Errorf("%+v", got)
	}
	if got, want := f.said(words...), "guest-exec freeze stop snapshot-internal-sync quit"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := status(t, f.b, "vm").State; got != backends.Stopped {
		t.Errorf("%s", got)
	}
}

func TestAnAgentThatMayRunNothingStillFreezes(t *testing.T) {
	f := newFake(t)
	f.refuse["guest-exec"] = "Command guest-exec has been disabled"
	got, err := f.snapshot(backends.SnapshotRequest{Name: "a"})
	must(t, err)
	if !got.Frozen {
		t.Errorf("%+v", got)
	}
	f.thawed()
}

func TestSnapshotThatFailsLeavesTheGuestAsItWas(t *testing.T) {
	for _, off := range []bool{false, true} {
		f := newFake(t)
		f.refuse["blockdev-snapshot-internal-sync"] = "No space left on device"
		_, err := f.snapshot(backends.SnapshotRequest{Name: "a", PowerOff: off})
		if !problem.HasCode(err, problem.DiskFull) {
			t.Errorf("%v", err)
		}
		if got := status(t, f.b, "vm").State; got != backends.Running {
			t.Errorf("PowerOff %v: %s", off, got)
		}
		if !strings.Contains(f.said(words...), "thaw") {
			t.Errorf("no thaw: %s", f.said(words...))
		}
		f.thawed()
	}
}

func TestAFailedSnapshotOfASuspendedVMDoesNotResumeIt(t *testing.T) {
	f := newFake(t)
	must(t, f.b.Suspend(limit(t), backends.Named("vm")))
	f.refuse["blockdev-snapshot-internal-sync"] = "No space left on device"
	if _, err := f.snapshot(backends.SnapshotRequest{Name: "a", PowerOff: true}); !problem.HasCode(err, problem.DiskFull) {
		t.Errorf("%v", err)
	}
	if got := status(t, f.b, "vm").State; got != backends.Suspended {
		t.Errorf("%s", got)
	}
}

func TestDeadAgentDoesNotHoldASnapshotUp(t *testing.T) {
	f := newFake(t)
	f.silent["guest-sync-delimited"] = 1000
	got, err := f.snapshot(backends.SnapshotRequest{Name: "a"})
	must(t, err)
	if got.Frozen {
		t.Errorf("%+v", got)
	}
	if got, want := f.said(words...), "snapshot-internal-sync"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestFreezeThatDoesNotAnswer may still happen in the guest later: there must be a thaw
// all the same, in a new conversation.
func TestFreezeThatDoesNotAnswer(t *testing.T) {
	f := newFake(t)
	f.silent["guest-fsfreeze-freeze"] = 1
	got, err := f.snapshot(backends.SnapshotRequest{Name: "a"})
	must(t, err)
	if got.Frozen {
		t.Errorf("%+v", got)
	}
	if got := f.said("sync-delimited", "freeze", "thaw", "snapshot-internal-sync"); got !=
		"sync-delimited freeze sync-delimited thaw snapshot-internal-sync" {
		t.Errorf("%s", got)
	}
	f.thawed()
}

func TestThawThatDoesNotAnswerIsTriedAgain(t *testing.T) {
	f := newFake(t)
	f.silent["guest-fsfreeze-thaw"] = 1
	got, err := f.snapshot(backends.SnapshotRequest{Name: "a"})
	must(t, err)
	if !got.Frozen {
		t.Errorf("%+v", got)
	}
	if got := f.said("thaw"); got != "thaw thaw" {
		t.Errorf("%s", got)
	}
	f.thawed()
}

func TestCancelledSnapshotThaws(t *testing.T) {
	f := newFake(t)
	ctx, cancel := context.WithCancel(t.Context())
	f.b.at = func(point string) {
		if point == snapshotFrozen {
			cancel()
		}
	}
	_, err := f.b.CreateSnapshot(ctx, backends.Named("vm"), backends.SnapshotRequest{Name: "a"})
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if got := f.said("freeze", "thaw"); got != "freeze thaw" {
		t.Errorf("%s", got)
	}
	f.thawed()
}

func TestAdoptionThawsWhatADeadDaemonFroze(t *testing.T) {
	f := newFake(t, func(r *record, _ *fakeQEMU) { r.Run.Frozen = true })
	if got := f.said("thaw"); got != "thaw" {
		t.Errorf("%q", got)
	}
	f.thawed()
	if got := status(t, f.b, "vm").State; got != backends.Running {
		t.Errorf("%s", got)
	}
}

func TestLostMonitorIsUnknownAndFoundAgain(t *testing.T) {
	f := newFake(t)
	await(t, f.b, inState(backends.Running))
	f.mu.Lock()
	f.monitor.Close()
	f.mu.Unlock()
	await(t, f.b, inState(backends.Unknown))
	must(t, f.b.Suspend(limit(t), backends.Named("vm")))
	if got := status(t, f.b, "vm").State; got != backends.Suspended {
		t.Errorf("%s", got)
	}
}

func TestAVMWhoseMonitorIsGoneCanBeKilled(t *testing.T) {
	f := newFake(t)
	await(t, f.b, inState(backends.Running))
	must(t, os.RemoveAll(filesOf(f.s.layout, "vm").runtime))
	f.mu.Lock()
	f.monitor.Close()
	f.mu.Unlock()
	await(t, f.b, inState(backends.Unknown))
	if got := status(t, f.b, "vm").Reason; !strings.Contains(got, "nixvmd stop vm") {
		t.Errorf("the reason is %q", got)
	}
	if err := f.b.Suspend(limit(t), backends.Named("vm")); !problem.HasCode(err, problem.BackendUnreachable) {
		t.Errorf("a suspend: %v", err)
	}
	must(t, f.b.Kill(limit(t), backends.Named("vm")))
	if got := status(t, f.b, "vm"); got.State != backends.Stopped {
		t.Errorf("%+v", got)
	}
	must(t, f.b.Kill(limit(t), backends.Named("vm")))
}

func TestFullDiskOfTheHostIsAReason(t *testing.T) {
	f := newFake(t)
	f.send(`{"event": "BLOCK_IO_ERROR", "data": {"action": "stop", "nospace": true, "operation": "write", "reason": "No space left on device"}}`)
	f.send(`{"event": "STOP"}`)
	e := await(t, f.b, inState(backends.Suspended))
	if !strings.Contains(e.Status.Reason, "full") {
		t.Errorf("%+v", e.Status)
	}
	must(t, f.b.Resume(limit(t), backends.Named("vm")))
	if got := status(t, f.b, "vm"); got.State != backends.Running || got.Reason != "" {
		t.Errorf("%+v", got)
	}
}

func (f *fakeQEMU) send(line string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, _ = f.monitor.Write([]byte(line + "\n"))
}
