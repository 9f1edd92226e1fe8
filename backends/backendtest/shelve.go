package backendtest

import (
	"slices"
	"strings"

	"github.com/google/uuid"

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
	none := backends.Named(name)
	s.refused(sh.Shelve(s.limit(), none, key), problem.VMNotFound, "Shelve of a VM that does not exist")
	s.refused(sh.Unshelve(s.limit(), none, key), problem.VMNotFound, "Unshelve of a VM that does not exist")
	s.refused(sh.Shelve(s.limit(), backends.Named("../x"), key), problem.MachineNameInvalid, "Shelve of a bad name")
	for _, bad := range []string{"", "../x", "a.b", "A"} {
		s.refused(sh.Shelve(s.limit(), none, bad), problem.BadParams, "Shelve under the key "+bad)
		s.refused(sh.DropShelved(s.limit(), none, bad), problem.BadParams, "DropShelved of the key "+bad)
	}
	spec := s.create(name)
	ref, other := spec.Ref(), spec
	other.UUID = uuid.NewString()
	s.refused(sh.Shelve(s.limit(), other.Ref(), key), problem.VMNotFound, "Shelve of a VM whose name is another one's")
	s.refused(sh.Unshelve(s.limit(), other.Ref(), key), problem.VMNotFound, "Unshelve of a VM whose name is another one's")
	snapshots := s.snapshots()
	if snapshots {
		s.snapshot(name, backends.SnapshotRequest{Name: "one"})
	}
	mark := s.events.mark()
	for range 2 {
		s.must(sh.Shelve(s.limit(), ref, key), "Shelve")
	}
	s.becomes(mark, name, backends.Absent)
	s.state(name, backends.Absent)
	s.onShelf(sh, ref)
	s.namesakeOnShelf(spec, other)
	sh = as[backends.Shelver](s)

	// The name, the UUID and the address are free.
	s.must(s.b.Create(s.limit(), spec, nil), "Create in its place")
	if snapshots {
		s.snapshotNames(name)
	}
	s.refused(sh.Unshelve(s.limit(), ref, key), problem.VMExists, "Unshelve over another VM")
	s.refused(sh.Shelve(s.limit(), ref, key), problem.VMExists, "Shelve under a key in use")
	s.must(s.b.Destroy(s.limit(), backends.Named(name)), "Destroy")
	s.state(name, backends.Absent)

	s.reopen()
	sh = as[backends.Shelver](s)
	s.onShelf(sh, ref)
	mark = s.events.mark()
	for range 2 {
		s.must(sh.Unshelve(s.limit(), ref, key), "Unshelve")
	}
	s.becomes(mark, name, backends.Stopped)
	s.state(name, backends.Stopped)
	s.onShelf(sh)
	if snapshots {
		s.snapshotNames(name, "one")
		s.must(s.snapshotter().RestoreSnapshot(s.limit(), backends.Named(name), "one"), "RestoreSnapshot of a VM that is back")
	}
	s.must(sh.DropShelved(s.limit(), ref, key), "DropShelved of none")
	s.must(sh.Shelve(s.limit(), ref, key), "Shelve")
	s.must(sh.DropShelved(s.limit(), ref, key), "DropShelved")
	s.onShelf(sh)
	s.refused(sh.Unshelve(s.limit(), ref, key), problem.VMNotFound, "Unshelve of what is deleted")
}

// namesakeOnShelf checks that nothing which is asked of other touches the VM of spec,
// which is set aside, also while other has its place.
func (s *suite) namesakeOnShelf(spec, other backends.Spec) {
	s.Helper()
	sh := as[backends.Shelver](s)
	s.refused(sh.Unshelve(s.limit(), other.Ref(), shelfKey), problem.VMNotFound, "Unshelve of a VM under whose key is another one")
	s.must(sh.DropShelved(s.limit(), other.Ref(), shelfKey), "DropShelved of a VM under whose key is another one")
	s.onShelf(sh, spec.Ref())
	s.must(s.b.Create(s.limit(), other, nil), "Create of another VM in its place")
	s.must(sh.Shelve(s.limit(), spec.Ref(), shelfKey), "Shelve of a VM that is set aside")
	s.refused(sh.Unshelve(s.limit(), spec.Ref(), shelfKey), problem.VMExists, "Unshelve over another VM")
	s.refused(sh.Unshelve(s.limit(), spec.Ref(), "k2"), problem.VMNotFound, "Unshelve under a key that has nothing, where another VM has the name")
	s.refused(sh.Shelve(s.limit(), other.Ref(), shelfKey), problem.VMExists, "Shelve under the key of another VM")
	s.reopen()
	sh = as[backends.Shelver](s)
	s.onShelf(sh, spec.Ref())
	s.state(shelfName, backends.Stopped)
	s.must(s.b.Destroy(s.limit(), other.Ref()), "Destroy")
}

// onShelf checks which VM is set aside under the name and the key; none = there is none.
func (s *suite) onShelf(sh backends.Shelver, want ...backends.Ref) {
	s.Helper()
	all, err := sh.Shelved(s.limit())
	s.must(err, "Shelved")
	var there []backends.Ref
	for _, v := range all {
		if v.VM.Name == shelfName && v.Key == shelfKey && v.Bytes > 0 && !v.Since.IsZero() {
			there = append(there, v.VM)
		}
	}
	if !slices.EqualFunc(there, want, func(a, b backends.Ref) bool { return a.Name == b.Name && strings.EqualFold(a.UUID, b.UUID) }) {
		s.Errorf("Shelved has %+v, want %+v", all, want)
	}
}
