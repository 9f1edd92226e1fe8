package vm

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
)

// collectShelved removes the VMs that recreate has set aside, but those that an operation
// may still bring back. A backend that cannot be asked is a warning.
func (s *Service) collectShelved(ctx context.Context, c *api.ImageGCResult, dryRun bool) {
	for _, name := range slices.Sorted(maps.Keys(s.backends)) {
		sh, ok := backends.As[backends.Shelver](s.backends[name])
		if !ok {
			continue
		}
		list, err := sh.Shelved(ctx)
		slices.SortFunc(list, func(a, b backends.ShelvedVM) int {
			return cmp.Or(cmp.Compare(a.VM.Name, b.VM.Name), a.Since.Compare(b.Since))
		})
		for _, v := range list {
			one := api.CollectedDisks{Machine: v.VM.Name, Backend: name, Since: v.Since, Bytes: v.Bytes, Place: v.Place}
			if one.Kept, err = s.dropShelved(ctx, sh, v, dryRun); err != nil {
				break
			}
			c.Disks = append(c.Disks, one)
		}
		if err != nil {
			c.Warnings = append(c.Warnings, fmt.Sprintf("backend %s: %v", name, err))
		}
	}
}

// dropShelved removes one, unless the journal of an operation names it; kept says so.
func (s *Service) dropShelved(ctx context.Context, sh backends.Shelver, v backends.ShelvedVM, dryRun bool) (kept string, err error) {
	user, release, err := s.claim(v.Key)
	if err != nil || user != "" {
		return user, err
	}
	defer release()
	if dryRun {
		return "", nil
	}
	if err := sh.DropShelved(ctx, v.VM, v.Key); err != nil {
		return "", err
	}
	s.log.Info("former disks removed", "machine", v.VM.Name, "since", v.Since, "bytes", v.Bytes)
	return "", nil
}
