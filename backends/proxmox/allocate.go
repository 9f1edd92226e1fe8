package proxmox

import (
	"context"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/proxmox/pve"
	"github.com/nixvm/nixvm/internal/problem"
)

// CheckVMID refuses a number that is in use, or not one of those of the setting vmids.
func (b *Backend) CheckVMID(ctx context.Context, _ backends.Ref, vmid int) error {
	if r := b.config.VMIDs; vmid < r.first || vmid > r.last {
		return problem.New(problem.MachineInvalid, "backend %s gives no number %d", b.Name(), vmid).
			WithHint("its numbers are %d to %d, by the setting vmids", r.first, r.last)
	}
	err := b.api.Get(ctx, "/cluster/nextid", pve.Params{"vmid": itoa(vmid)}, nil)
	if pve.IDTaken(err) {
		return backends.NumberInUse(vmid)
	}
	return b.problem(err)
}

// Allocated is the number of a VM.
func (b *Backend) Allocated(ctx context.Context, ref backends.Ref) (backends.Allocation, error) {
	f, err := b.need(ctx, ref)
	if err != nil {
		return backends.Allocation{}, err
	}
	return backends.Allocation{VMID: f.id}, nil
}

// allocateAs is allocate for a VM that requests a number; 0 = any.
func (b *Backend) allocateAs(ctx context.Context, vmid int, try func(id int) error) (int, error) {
	if vmid == 0 {
		return b.allocate(ctx, try)
	}
	if err := b.CheckVMID(ctx, backends.Ref{}, vmid); err != nil {
		return 0, err
	}
	err := try(vmid)
	if pve.IDTaken(err) {
		return 0, backends.NumberInUse(vmid)
	}
	return vmid, err
}
