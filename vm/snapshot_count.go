package vm

import (
	"context"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// snapshotUsage is what clients see of it; nil: not known.
func (s *Service) snapshotUsage(name string) *api.SnapshotUsage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.countOf(name).usage(name)
}

// countOf is the count of the VM that a machine has now. mu is held.
func (s *Service) countOf(name string) *snapshotCount {
	c := s.counts[name]
	if c == nil {
		c = &snapshotCount{}
		s.counts[name] = c
	}
	if instance := s.instanceOf(name); c.instance != instance {
		c.instance = instance
		c.forget()
	}
	return c
}

// listSnapshots asks the backend, and counts what it says.
func (s *Service) listSnapshots(ctx context.Context, b backends.Snapshotter, name string) ([]backends.Snapshot, error) {
	s.mu.Lock()
	before := s.countOf(name).changes
	s.mu.Unlock()
	list, err := ask(ctx, s, s.limits.ask, "the snapshots of "+name, func(ctx context.Context) ([]backends.Snapshot, error) { return b.Snapshots(ctx, s.ref(name)) })
	if err == nil {
		s.recount(name, func(c *snapshotCount) {
			if c.changes == before {
				c.known, c.count = true, len(list)
			}
		})
	}
	return list, err
}

// makeSnapshot takes one on the backend, and counts it.
func (s *Service) makeSnapshot(ctx context.Context, b backends.Snapshotter, name string, req backends.SnapshotRequest) (backends.Snapshot, error) {
	sn, err := b.CreateSnapshot(ctx, s.ref(name), req)
	s.recount(name, func(c *snapshotCount) {
		if c.add(1); err != nil {
			c.forget() // it may be there all the same
		}
	})
	return sn, err
}

// removeSnapshot deletes one on the backend, and counts it out. One that is not
// there is snapshot.not_found.
func (s *Service) removeSnapshot(ctx context.Context, b backends.Snapshotter, name, snapshot string) error {
	err := b.DeleteSnapshot(ctx, s.ref(name), snapshot)
	s.recount(name, func(c *snapshotCount) {
		switch {
		case err == nil:
			c.add(-1)
		case !problem.HasCode(err, problem.SnapshotNotFound):
			c.forget()
		}
	})
	return err
}

// recount changes the count of a VM and tells the watchers if it is another one.
func (s *Service) recount(name string, change func(*snapshotCount)) {
	s.mu.Lock()
	c := s.countOf(name)
	before := *c
	change(c)
	after := *c
	s.mu.Unlock()
	if before.known != after.known || before.count != after.count {
		s.publishVM(name)
	}
}
