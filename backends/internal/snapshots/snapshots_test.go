package snapshots

import (
	"testing"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// kept is a hypervisor's form of a snapshot.
type kept struct {
	name string
	day  int
}

func (k kept) called() string { return k.name }

func TestASnapshotIsFoundByItsWholeName(t *testing.T) {
	all := []kept{{"one", 1}, {"two", 2}}
	if s, err := Find(all, kept.called, "demo", "two"); err != nil || s.day != 2 {
		t.Errorf("%+v, %v", s, err)
	}
	for _, name := range []string{"", "on", "ones", "ONE"} {
		if _, err := Find(all, kept.called, "demo", name); !problem.HasCode(err, problem.SnapshotNotFound) {
			t.Errorf("%q: %v", name, err)
		}
		if err := CheckFree(all, kept.called, "demo", name); err != nil {
			t.Errorf("%q is not free: %v", name, err)
		}
	}
	if err := CheckFree(all, kept.called, "demo", "one"); !problem.HasCode(err, problem.SnapshotExists) {
		t.Errorf("%v", err)
	}
}

func TestTheOldestIsFirst(t *testing.T) {
	all := []kept{{"new", 3}, {"a", 2}, {"old", 1}, {"b", 2}}
	list := Sorted(all, func(k kept) backends.Snapshot {
		return backends.Snapshot{Name: k.name, Created: time.Date(2026, 1, k.day, 0, 0, 0, 0, time.UTC)}
	})
	for i, want := range []string{"old", "a", "b", "new"} {
		if list[i].Name != want {
			t.Fatalf("%+v", list)
		}
	}
	if list := Sorted(nil, func(kept) backends.Snapshot { panic("none") }); list == nil || len(list) != 0 {
		t.Errorf("of none: %#v", list)
	}
}
