package vm

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/machine"
	"github.com/nixvm/nixvm/vm/inventory"
)

// checkVMID refuses the number that a machine requests for a VM that is to be made, if the
// backend cannot give it.
func (s *Service) checkVMID(ctx context.Context, b backends.Backend, m machine.Machine) error {
	a, ok := backends.As[backends.Allocator](b)
	if !ok || m.VMID == 0 {
		return nil
	}
	if err := a.CheckVMID(ctx, backends.Ref{Name: m.Name, UUID: m.UUID}, m.VMID); err != nil {
		return fmt.Errorf("%s: %w", filepath.Join(s.machines.Dir(m.Name), machine.VMIDFile), err)
	}
	return nil
}

// declared is a machine as it was read, if it was.
func declared(m machine.Machine, err error) machine.Machine {
	if err != nil {
		return machine.Machine{}
	}
	return m
}

// numberOn is the number of a VM for its backend; 0 where VMs have none.
func numberOn(b backends.Backend, vmid int) int {
	if _, ok := backends.As[backends.Allocator](b); !ok {
		return 0
	}
	return vmid
}

// otherNumber reports whether a machine requests another number than its VM has.
func otherNumber(e *inventory.Entry) bool {
	return e.Machine != nil && e.Record != nil && e.Record.VMID != 0 && e.Machine.VMID != 0 && e.Machine.VMID != e.Record.VMID
}
