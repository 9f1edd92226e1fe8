package backendtest

import (
	"slices"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

const shelfName, shelfKey = "conf-shelf", "k1"

// testShelve needs no boot: a VM that is set aside, another one in its place, and the
// first one again.
func testShelve(s *suite) {
	const name, key = shelfName, shelfKey
	sh, ok := backends.As[backends.Shelver](s.b)
	if !ok {
		s.Skip("this backend cannot set VMs aside")
	}
	s.refused(sh.Shelve(s.limit(), name, key), problem.VMNotFound, "Shelve of a VM that does not exist")
	s.refused(sh.Unshelve(s.limit(), name, key), problem.VMNotFound, "Unshelve of a VM that does not exist")
	s.refused(sh.Shelve(s.limit(), "../x", key), problem.MachineNameInvalid, "Shelve of a bad name")
	for _, bad := range []string{"", "../x", "a.b", "A"} {
		s.refused(sh.Shelve(s.limit(), name, bad), problem.BadParams, "Shelve under the key "+bad)
		s.refused(sh.DropShelved(s.limit(), name, bad), problem.BadParams, "DropShelved of the key "+bad)
	}
	spec := s.create(name)
	snapshots := s.snapshots()
	if snapshots {
		s.snapshot(name, backends.SnapshotRequest{Name: "one"})
	}
	mark := s.events.mark()
	for range 2 {
		s.must(sh.Shelve(s.limit(), name, key), "Shelve")
	}
	s.becomes(mark, name, backends.Absent)
	s.state(name, backends.Absent)
	s.onShelf(sh, true)

	// The name, the UUID and the address are free.
	s.must(s.b.Create(s.limit(), spec, nil), "Create in its place")
	if snapshots {
		s.snapshotNames(name)
	}
	s.refused(sh.Unshelve(s.limit(), name, key), problem.VMExists, "Unshelve over another VM")
	s.refused(sh.Shelve(s.limit(), name, key), problem.VMExists, "Shelve under a key in use")
	s.must(s.b.Destroy(s.limit(), backends.Named(name)), "Destroy")
	s.state(name, backends.Absent)

	s.reopen()
	sh = as[backends.Shelver](s)
	s.onShelf(sh, true)
	mark = s.events.mark()
	for range 2 {
		s.must(sh.Unshelve(s.limit(), name, key), "Unshelve")
	}
	s.becomes(mark, name, backends.Stopped)
	s.state(name, backends.Stopped)
	s.onShelf(sh, false)
	if snapshots {
		s.snapshotNames(name, "one")
		s.must(s.snapshotter().RestoreSnapshot(s.limit(), backends.Named(name), "one"), "RestoreSnapshot of a VM that is back")
	}
	s.must(sh.DropShelved(s.limit(), name, key), "DropShelved of none")
	s.must(sh.Shelve(s.limit(), name, key), "Shelve")
	s.must(sh.DropShelved(s.limit(), name, key), "DropShelved")
	s.onShelf(sh, false)
	s.refused(sh.Unshelve(s.limit(), name, key), problem.VMNotFound, "Unshelve of what is deleted")
}

func (s *suite) onShelf(sh backends.Shelver, want bool) {
	s.Helper()
	all, err := sh.Shelved(s.limit())
	s.must(err, "Shelved")
	there := slices.ContainsFunc(all, func(v backends.ShelvedVM) bool {
		return v.Name == shelfName && v.Key == shelfKey && v.Bytes > 0 && !v.Since.IsZero()
	})
	if there != want {
		s.Errorf("Shelved has %+v, want %s among them: %t", all, shelfName, want)
	}
}
