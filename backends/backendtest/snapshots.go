package backendtest

import (
	"slices"
	"testing"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// testOffline needs no boot: snapshots of a VM that has never run.
func testOffline(s *suite) {
	const name = "conf-offline"
	if !s.snapshots() {
		s.Skip("this backend takes no snapshots")
	}
	s.create(name)
	s.snapshotNames(name)
	ctx := s.limit()
	first := s.snapshot(name, backends.SnapshotRequest{Name: "first", Description: "two words, ünïcode"})
	if !first.Frozen {
		s.Errorf("a snapshot of a VM that is off is not frozen: %+v", first)
	}
	if age := time.Since(first.Created).Abs(); age > s.h.Limit {
		s.Errorf("created %v ago", age)
	}
	// A name that could be taken for an id: it must mean itself.
	s.snapshot(name, backends.SnapshotRequest{Name: "1"})
	s.snapshotNames(name, "first", "1")

	_, err := s.snapshotter().CreateSnapshot(ctx, backends.Named(name), backends.SnapshotRequest{Name: "first"})
	s.refused(err, problem.SnapshotExists, "a name in use")
	for _, bad := range []string{"", "-a", "a/b", "a b", "a\n", ".a"} {
		_, err := s.snapshotter().CreateSnapshot(ctx, backends.Named(name), backends.SnapshotRequest{Name: bad})
		s.refused(err, problem.SnapshotNameInvalid, "the snapshot name "+bad)
	}
	s.refused(s.snapshotter().RestoreSnapshot(ctx, backends.Named(name), "nosuch"), problem.SnapshotNotFound, "RestoreSnapshot")
	s.refused(s.snapshotter().DeleteSnapshot(ctx, backends.Named(name), "nosuch"), problem.SnapshotNotFound, "DeleteSnapshot")

	s.reopen()
	list := s.snapshotNames(name, "first", "1")
	if list[0].Description != "two words, ünïcode" {
		s.Errorf("the description after a restart: %+v", list[0])
	}
	s.must(s.snapshotter().RestoreSnapshot(s.limit(), backends.Named(name), "first"), "RestoreSnapshot")
	s.snapshotNames(name, "first", "1")
	s.must(s.snapshotter().DeleteSnapshot(s.limit(), backends.Named(name), "1"), "DeleteSnapshot")
	s.snapshotNames(name, "first")
	s.must(s.snapshotter().DeleteSnapshot(s.limit(), backends.Named(name), "first"), "DeleteSnapshot")
	s.snapshotNames(name)
}

func (s *suite) snapshot(name string, req backends.SnapshotRequest) backends.Snapshot {
	s.Helper()
	got, err := s.snapshotter().CreateSnapshot(s.limit(), backends.Named(name), req)
	s.must(err, "CreateSnapshot")
	if got.Name != req.Name || got.Description != req.Description {
		s.Errorf("CreateSnapshot(%+v) = %+v", req, got)
	}
	return got
}

// snapshotNames checks which snapshots there are, in order.
func (s *suite) snapshotNames(name string, want ...string) []backends.Snapshot {
	s.Helper()
	list, err := s.snapshotter().Snapshots(s.limit(), backends.Named(name))
	s.must(err, "Snapshots")
	var got []string
	for _, x := range list {
		got = append(got, x.Name)
	}
	if !slices.Equal(got, want) {
		s.Fatalf("snapshots of %s are %q, want %q", name, got, want)
	}
	return list
}

// BenchmarkSnapshot measures CreateSnapshot on a running VM, whole: with the
// freeze, the snapshot, the thaw and the records around them.
func BenchmarkSnapshot(b *testing.B, backend backends.Backend, name string) {
	ctx := b.Context()
	taker, err := backends.Require[backends.Snapshotter](backend, "take snapshots")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := taker.CreateSnapshot(ctx, backends.Named(name), backends.SnapshotRequest{Name: "bench"}); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := taker.DeleteSnapshot(ctx, backends.Named(name), "bench"); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
