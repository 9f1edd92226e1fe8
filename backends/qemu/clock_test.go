package qemu

import (
	"testing"
	"time"

	"github.com/nixvm/nixvm/backends"
)

func TestResumeOfARunningVMSetsItsClock(t *testing.T) {
	f := newFake(t)
	must(t, f.b.Resume(limit(t), backends.Named("vm")))
	if got := f.said("cont", "guest-set-time"); got != "guest-set-time" {
		t.Errorf("it was told: %s", got)
	}
}

func TestAClockIsComparedBeforeItIsSet(t *testing.T) {
	f := newFake(t)
	step, err := f.b.SyncClock(limit(t), backends.Named("vm"))
	if err != nil || !step.Stepped || step.Behind < 59*time.Minute {
		t.Errorf("%+v, %v", step, err)
	}
	if got := f.said("guest-get-time", "guest-set-time"); got != "guest-get-time guest-set-time" {
		t.Errorf("it was told: %s", got)
	}
}

// A guest whose agent hangs, or answers nonsense, takes no more than the limits.
func TestAnAgentThatDoesNotTellTheTimeIsGivenUp(t *testing.T) {
	f := newFake(t)
	f.mu.Lock()
	f.silent["guest-get-time"] = 1
	f.b.limits.reply = 100 * time.Millisecond
	f.mu.Unlock()
	if step, err := f.b.SyncClock(limit(t), backends.Named("vm")); err == nil {
		t.Errorf("%+v", step)
	}
	f.mu.Lock()
	f.refuse["guest-get-time"] = "not allowed here"
	f.mu.Unlock()
	if step, err := f.b.SyncClock(limit(t), backends.Named("vm")); err == nil || step.Stepped {
		t.Errorf("%+v, %v", step, err)
	}
}
