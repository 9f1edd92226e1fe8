package vm

import (
	"context"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// followDisks measures the disks of all VMs at each kick, one after the other. What of
// them is of snapshots takes longer to find out, and is left to DiskUsage.
func (s *Service) followDisks() {
	for {
		select {
		case <-s.disks.kick:
		case <-s.ctx.Done():
			return
		}
		s.disks.mu.Lock()
		s.disks.checked = time.Now()
		s.disks.mu.Unlock()
		for _, e := range s.inventory.List() {
			if e.Record == nil || s.inventory.Silent(e.Record.Backend) != nil || s.ctx.Err() != nil {
				continue
			}
			if _, err := s.measure(s.ctx, e.Name, false); err != nil && !problem.HasCode(err, problem.Unsupported) {
				s.log.Debug("cannot measure a disk", "machine", e.Name, "error", err)
			}
		}
	}
}

// measure asks the backend what a disk takes, and tells the watchers if it is much more or
// less than before.
func (s *Service) measure(ctx context.Context, name string, snapshots bool) (backends.DiskUsage, error) {
	b, err := s.backendOf(name)
	if err != nil {
		return backends.DiskUsage{}, err
	}
	meter, err := backends.Require[backends.DiskMeter](b, "measure disks")
	if err != nil {
		return backends.DiskUsage{}, err
	}
	instance := s.instanceOf(name)
	u, err := ask(ctx, s, s.limits.ask, "the disk of "+name, func(ctx context.Context) (backends.DiskUsage, error) {
		return meter.DiskUsage(ctx, s.ref(name), snapshots)
	})
	if err != nil {
		return u, err
	}
	s.mu.Lock()
	before, known := s.diskSizes[name]
	known = known && before.instance == instance
	if known && u.Snapshots < 0 {
		u.Snapshots = min(before.usage.Snapshots, u.Used) // as of the last time
	}
	s.diskSizes[name] = diskSize{u, instance}
	s.mu.Unlock()
	if !known || before.usage.Virtual != u.Virtual || (before.usage.Used-u.Used)/diskStep != 0 || (before.usage.Snapshots-u.Snapshots)/diskStep != 0 {
		s.publishVM(name)
	}
	return u, nil
}

// DiskUsage measures the disk of a VM, with the part of its snapshots, and the storage that
// it is in.
func (s *Service) DiskUsage(ctx context.Context, name string) (api.DiskResult, error) {
	u, err := s.measure(ctx, name, true)
	if err != nil {
		return api.DiskResult{}, err
	}
	r := api.DiskResult{Disk: *diskSize{usage: u}.wire()}
	b, err := s.backendOf(name)
	if err != nil {
		return r, err
	}
	host, ok := backends.As[backends.SpaceHost](b)
	if !ok {
		return r, nil
	}
	space, err := ask(ctx, s, s.limits.ask, "the space of backend "+b.Name(), host.Space)
	if err != nil {
		s.log.Debug("cannot determine the space for disks", "backend", b.Name(), "error", err)
		return r, nil // the disk is worth showing all the same
	}
	r.Storage, r.FreeBytes = space.Name, space.Free
	if space.Free < s.config.warnBelow() {
		r.Warning = scarceText(space)
	}
	return r, nil
}
