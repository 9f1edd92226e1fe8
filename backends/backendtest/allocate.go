package backendtest

import (
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// testAllocate needs no boot: the numbers of VMs that have never run.
func testAllocate(s *suite) {
	const first, second, third = "conf-number-1", "conf-number-2", "conf-number-3"
	if _, ok := backends.As[backends.Allocator](s.b); !ok {
		s.Skip("this backend does not number its VMs")
	}
	_, err := as[backends.Allocator](s).Allocated(s.limit(), backends.Named(first))
	s.refused(err, problem.VMNotFound, "Allocated of a VM that does not exist")
	a, b := s.create(first), s.create(second)
	one, two := s.number(a.Ref()), s.number(b.Ref())
	if one == two {
		s.Errorf("two VMs have the number %d", one)
	}
	s.reopen()
	if now := s.number(a.Ref()); now != one {
		s.Errorf("its number was %d and is %d", one, now)
	}
	other := s.h.Spec(s.T, third)
	_, err = as[backends.Allocator](s).Allocated(s.limit(), backends.Ref{Name: first, UUID: other.UUID})
	s.refused(err, problem.VMNotFound, "Allocated of a VM whose name is another one's")

	other.VMID = one
	s.refused(as[backends.Allocator](s).CheckVMID(s.limit(), other.Ref(), one), problem.VMExists, "CheckVMID of a number in use")
	s.refused(as[backends.Allocator](s).CheckVMID(s.limit(), other.Ref(), -1), problem.MachineInvalid, "CheckVMID of a number that none has")
	s.refused(s.b.Create(s.limit(), other, nil), problem.VMExists, "Create with a number in use")
	s.state(third, backends.Absent)
	if s.can.Clone {
		from := backends.Source{VM: b.Ref()}
		s.refused(s.cloner().Clone(s.limit(), from, other, nil), problem.VMExists, "Clone with a number in use")
		s.state(third, backends.Absent)
		clone := other
		clone.VMID = 0
		s.must(s.cloner().Clone(s.limit(), from, clone, nil), "Clone")
		s.destroyAtEnd(third)
		if n := s.number(clone.Ref()); n == one || n == two {
			s.Errorf("the clone has the number %d of another VM", n)
		}
		s.must(s.b.Destroy(s.limit(), clone.Ref()), "Destroy of the clone")
	}

	// The number of a VM that is gone is free for the one that asks for it.
	s.must(s.b.Destroy(s.limit(), a.Ref()), "Destroy")
	s.must(as[backends.Allocator](s).CheckVMID(s.limit(), other.Ref(), one), "CheckVMID of a free number")
	s.must(s.b.Create(s.limit(), other, nil), "Create with a free number")
	s.destroyAtEnd(third)
	if n := s.number(other.Ref()); n != one {
		s.Errorf("it has the number %d, want %d", n, one)
	}
	s.numberInPlace(other)
}

// numberInPlace: the VM in the place of one that is set aside may have its number.
func (s *suite) numberInPlace(spec backends.Spec) {
	const key = "k1"
	sh, ok := backends.As[backends.Shelver](s.b)
	if !ok {
		return
	}
	s.must(sh.Shelve(s.limit(), spec.Ref(), key), "Shelve")
	s.must(as[backends.Allocator](s).CheckVMID(s.limit(), spec.Ref(), spec.VMID), "CheckVMID of the number of the VM in whose place it is")
	s.must(s.b.Create(s.limit(), spec, nil), "Create in the place of a VM with its number")
	if n, same := s.number(spec.Ref()), as[backends.Allocator](s).Renumbers(); (n == spec.VMID) != same {
		s.Errorf("it has the number %d, that of the VM which is set aside was %d; the same is wanted: %t", n, spec.VMID, same)
	}
	s.must(s.b.Destroy(s.limit(), spec.Ref()), "Destroy")
	s.must(sh.Unshelve(s.limit(), spec.Ref(), key), "Unshelve")
	if n := s.number(spec.Ref()); n != spec.VMID {
		s.Errorf("brought back, it has the number %d, want %d", n, spec.VMID)
	}
}

// number is that of a VM, which has one.
func (s *suite) number(vm backends.Ref) int {
	s.Helper()
	a, err := as[backends.Allocator](s).Allocated(s.limit(), vm)
	s.must(err, "Allocated")
	if a.VMID <= 0 {
		s.Errorf("%s has the number %d", vm.Name, a.VMID)
	}
	return a.VMID
}
