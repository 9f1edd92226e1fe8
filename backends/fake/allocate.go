package fake

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

const (
	firstVMID = 100
	lastVMID  = 199
)

// Renumbers holds.
func (b *Backend) Renumbers() bool { return true }

// CheckVMID refuses a number that is in use on the cluster.
func (b *Backend) CheckVMID(ctx context.Context, vm backends.Ref, vmid int) error {
	if err := b.cluster.trip(ctx); err != nil {
		return err
	}
	if vmid < firstVMID || vmid > lastVMID {
		return problem.New(problem.MachineInvalid, "the cluster has no number %d", vmid).WithHint("its numbers are %d to %d", firstVMID, lastVMID)
	}
	b.node.mu.Lock()
	defer b.node.mu.Unlock()
	_, err := b.node.allocate(vm, vmid, b.cluster.Taken)
	return err
}

// Allocated tells the number of a guest.
func (b *Backend) Allocated(ctx context.Context, ref backends.Ref) (backends.Allocation, error) {
	g, err := b.read(ctx, ref)
	if err != nil {
		return backends.Allocation{}, err
	}
	return backends.Allocation{VMID: g.VMID}, nil
}

// allocate returns the wanted number, or for 0 the lowest free one. mu is held.
func (n *node) allocate(vm backends.Ref, wanted int, taken func(vmid int) bool) (int, error) {
	used, err := n.numbers()
	if err != nil {
		return 0, err
	}
	others := func(vmid int) bool { return taken != nil && taken(vmid) }
	if wanted != 0 {
		for _, holder := range used[wanted] {
			if !holder.aside || holder.uuid != vm.UUID {
				return 0, backends.NumberInUse(wanted)
			}
		}
		if others(wanted) {
			return 0, backends.NumberInUse(wanted)
		}
		return wanted, nil
	}
	for vmid := firstVMID; vmid <= lastVMID; vmid++ {
		if len(used[vmid]) == 0 && !others(vmid) {
			return vmid, nil
		}
	}
	return 0, problem.New(problem.VMExists, "all numbers of the cluster are in use").WithHint("destroy what is no longer needed")
}

// numbered is a guest that has a number.
type numbered struct {
	uuid  string
	aside bool
}

// numbers are those of all guests. mu is held.
func (n *node) numbers() (map[int][]numbered, error) {
	used := map[int][]numbered{}
	for _, pattern := range []string{n.path("*"), n.shelf("*", "*")} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				return nil, err
			}
			var g guest
			if json.Unmarshal(content, &g) == nil && g.VMID != 0 {
				used[g.VMID] = append(used[g.VMID], numbered{g.Kept.UUID, pattern != n.path("*")})
			}
		}
	}
	return used, nil
}
