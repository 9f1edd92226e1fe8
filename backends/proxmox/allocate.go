package proxmox

import (
	"context"
	"slices"
	"strings"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/proxmox/pve"
	"github.com/nixvm/nixvm/internal/problem"
)

// Renumbers does not hold: Proxmox VE has no other number for a VM with snapshots.
func (b *Backend) Renumbers() bool { return false }

// CheckVMID refuses a number that is in use, or not one of those of the setting vmids. That
// of a VM which is set aside is accepted for the VM in its place, which gets another one.
func (b *Backend) CheckVMID(ctx context.Context, vm backends.Ref, vmid int) error {
	_, err := b.checkNumber(ctx, vm.UUID, vmid)
	return err
}

// checkNumber is CheckVMID, and reports whether the VM is to have another number.
func (b *Backend) checkNumber(ctx context.Context, uuid string, vmid int) (other bool, err error) {
	if r := b.config.VMIDs; vmid < r.first || vmid > r.last {
		return false, problem.New(problem.MachineInvalid, "backend %s gives no number %d", b.Name(), vmid).
			WithHint("its numbers are %d to %d, by the setting vmids", r.first, r.last)
	}
	err = b.api.Get(ctx, "/cluster/nextid", pve.Params{"vmid": itoa(vmid)}, nil)
	if !pve.IDTaken(err) {
		return false, b.problem(err)
	}
	other, err = b.isAside(ctx, uuid, vmid)
	if err == nil && !other {
		err = backends.NumberInUse(vmid)
	}
	return other, err
}

// isAside reports whether the number is that of a VM with the UUID which is set aside.
func (b *Backend) isAside(ctx context.Context, uuid string, vmid int) (bool, error) {
	s, err := b.scan(ctx)
	return uuid != "" && slices.ContainsFunc(s.entries, func(e entry) bool {
		return e.id == vmid && e.mark.Shelf == b.owner.ID && strings.EqualFold(e.mark.UUID, uuid)
	}), err
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
func (b *Backend) allocateAs(ctx context.Context, uuid string, vmid int, try func(id int) error) (int, error) {
	if vmid == 0 {
		return b.allocate(ctx, try)
	}
	other, err := b.checkNumber(ctx, uuid, vmid)
	switch {
	case err != nil:
		return 0, err
	case other:
		return b.allocate(ctx, try)
	}
	err = try(vmid)
	if pve.IDTaken(err) {
		return 0, backends.NumberInUse(vmid)
	}
	return vmid, err
}
