package proxmox

import (
	"context"

	"github.com/nixvm/nixvm/backends/proxmox/pve"
	"github.com/nixvm/nixvm/internal/problem"
)

// idAttempts is how many numbers are tried when others take them at the same time.
const idAttempts = 20

// allocate makes a VM under a number that is free. There is no reservation in Proxmox VE:
// the number is taken by the request that makes the VM, which is refused if another client
// was faster; then another one is tried. try returns the error of that request.
func (b *Backend) allocate(ctx context.Context, try func(id int) error) (int, error) {
	if err := b.ids.Lock(ctx); err != nil {
		return 0, err
	}
	defer b.ids.Unlock()
	s, err := b.scan(ctx)
	if err != nil {
		return 0, err
	}
	taken := map[int]bool{}
	for _, e := range s.entries {
		taken[e.id] = true
	}
	tried := 0
	for id := b.config.VMIDs.first; id <= b.config.VMIDs.last && tried < idAttempts; id++ {
		if taken[id] {
			continue
		}
		tried++
		err := b.api.Get(ctx, "/cluster/nextid", pve.Params{"vmid": itoa(id)}, nil)
		if err == nil {
			err = try(id)
		}
		if !pve.IDTaken(err) {
			return id, err
		}
	}
	if tried < idAttempts {
		return 0, problem.New(problem.BackendUnreachable, "all VM numbers from %d to %d are in use", b.config.VMIDs.first, b.config.VMIDs.last).
			WithHint("choose a larger range with the setting vmids")
	}
	return 0, problem.New(problem.BackendUnreachable, "others took each of %d free VM numbers at the same time", tried).Retry()
}
