package vm

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nixvm/nixvm/backends"
)

// countOf is the number of snapshots that clients see; -1: not known.
func (h house) countOf(t *testing.T, name string) (int, string) {
	t.Helper()
	v, err := h.Get(name)
	if err != nil {
		t.Fatal(err)
	}
	if v.Snapshots == nil {
		return -1, ""
	}
	return v.Snapshots.Count, v.Snapshots.Warning
}

func (h house) counts(t *testing.T, name string, want int) {
	t.Helper()
	if got, _ := h.countOf(t, name); got != want {
		t.Errorf("%s is shown with %d snapshots, want %d", name, got, want)
	}
}

func TestSnapshotsAreCountedAsTheyComeAndGo(t *testing.T) {
	var fail atomic.Bool
	h := open(t, t.TempDir(), images{}, func(method, _ string) error {
		if fail.Load() && slices.Contains([]string{"snapshot", "delete-snapshot"}, method) {
			return fmt.Errorf("%s: no answer", method)
		}
		return nil
	}, nil)
	h.create(t, "demo")
	h.counts(t, "demo", -1)
	for i := range manySnapshots - 1 {
		if _, err := h.fake.CreateSnapshot(background, backends.Named("demo"), backends.SnapshotRequest{Name: fmt.Sprintf("s%d", i)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.Snapshots(background, "demo"); err != nil {
		t.Fatal(err)
	}
	h.counts(t, "demo", manySnapshots-1)
	if _, warning := h.countOf(t, "demo"); warning != "" {
		t.Errorf("one less than too many: %q", warning)
	}

	op, err := h.CreateSnapshot(background, "demo", "last", "", "t")
	if op = h.do(t, op, err); len(op.Warnings) != 1 || !strings.Contains(op.Warnings[0], fmt.Sprint(manySnapshots)) {
		t.Errorf("the snapshot that is one too many ends with the warnings %q", op.Warnings)
	}
	if n, warning := h.countOf(t, "demo"); n != manySnapshots || !strings.Contains(warning, "delete some") {
		t.Errorf("%d snapshots: warning %q", n, warning)
	}
	op, err = h.DeleteSnapshot(background, "demo", "last", "t")
	h.succeed(t, op, err)
	h.counts(t, "demo", manySnapshots-1)
	op, err = h.RestoreSnapshot(background, "demo", "s0", "demo", "t")
	h.succeed(t, op, err)
	h.counts(t, "demo", manySnapshots) // the safety snapshot

	fail.Store(true)
	op, err = h.DeleteSnapshot(background, "demo", "s1", "t")
	h.do(t, op, err)
	h.counts(t, "demo", -1) // it may be gone, or not
}

func TestTheCountOfSnapshotsGoesWithTheVM(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	op, err := h.CreateSnapshot(background, "demo", "one", "", "t")
	h.succeed(t, op, err)
	h.counts(t, "demo", 1)
	op, err = h.Destroy(background, "demo", "demo", "t")
	h.succeed(t, op, err)
	h.create(t, "demo")
	h.counts(t, "demo", -1)
}

func TestAListThatWasReadBeforeAChangeIsNotCounted(t *testing.T) {
	var c snapshotCount
	before := c.changes
	c.add(1)
	if c.changes == before {
		t.Error("a change leaves no trace")
	}
	c.known, c.count = true, 0
	c.add(-1)
	if c.usage("demo") != nil {
		t.Errorf("less than nothing is shown as %+v", c.usage("demo"))
	}
}
