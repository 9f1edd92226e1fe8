package backendtest

import (
	"github.com/google/uuid"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// testRename needs no boot: a VM gets another name and keeps the rest; the former name is
// free.
func testRename(s *suite) {
	const name, to = "conf-named", "conf-renamed"
	rn, ok := backends.As[backends.Renamer](s.b)
	if !ok {
		s.Skip("this backend cannot rename VMs")
	}
	s.refused(rn.Rename(s.limit(), backends.Named(name), to), problem.VMNotFound, "Rename of a VM that does not exist")
	spec := s.create(name)
	s.refused(rn.Rename(s.limit(), spec.Ref(), "../x"), problem.MachineNameInvalid, "Rename to a bad name")
	other := spec.Ref()
	other.UUID = uuid.NewString()
	s.refused(rn.Rename(s.limit(), other, to), problem.VMNotFound, "Rename of a VM whose name is another one's")
	snapshots := s.snapshots()
	if snapshots {
		s.snapshot(name, backends.SnapshotRequest{Name: "one", Description: "before"})
	}
	s.destroyAtEnd(to)
	mark := s.events.mark()
	for range 2 {
		s.must(rn.Rename(s.limit(), spec.Ref(), to), "Rename")
	}
	s.becomes(mark, name, backends.Absent)
	s.becomes(mark, to, backends.Stopped)
	for range 2 { // also for a daemon that starts
		s.state(name, backends.Absent)
		s.state(to, backends.Stopped)
		s.reopen()
	}
	rn = as[backends.Renamer](s)
	ref := backends.Ref{Name: to, UUID: spec.UUID}
	if snapshots {
		s.snapshotNames(to, "one")
		s.must(s.snapshotter().RestoreSnapshot(s.limit(), ref, "one"), "RestoreSnapshot of a VM that was renamed")
		s.must(s.snapshotter().DeleteSnapshot(s.limit(), ref, "one"), "DeleteSnapshot of a VM that was renamed")
	}

	// The name is free for another VM, and neither can take that of the other one.
	second := s.h.Spec(s.T, name)
	second.UUID, second.MAC = uuid.NewString(), "52:54:00:12:34:ef"
	s.must(s.b.Create(s.limit(), second, nil), "Create under the former name")
	s.refused(rn.Rename(s.limit(), ref, name), problem.VMExists, "Rename to the name of another VM")
	s.refused(rn.Rename(s.limit(), second.Ref(), to), problem.VMExists, "Rename to the name of another VM")
	s.state(name, backends.Stopped)
	s.state(to, backends.Stopped)
	s.must(s.b.Destroy(s.limit(), second.Ref()), "Destroy")
	s.state(to, backends.Stopped)
	s.must(rn.Rename(s.limit(), ref, name), "Rename back")
	s.state(name, backends.Stopped)
	s.state(to, backends.Absent)
}
