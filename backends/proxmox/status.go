package proxmox

import (
	"context"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/names"
)

// status is the state of a VM in the words of the core.
func (b *Backend) status(e entry) backends.Status {
	st := backends.Status{Name: e.name, UUID: e.mark.UUID, State: backends.Stopped, Node: e.node}
	switch {
	case e.lock == "create" || e.lock == "clone":
		st.State, st.Reason = backends.Broken, "it is half made"
	case e.state != "running":
	case e.qmp == "paused" || e.qmp == "" && b.view.wasSuspended(e):
		st.State = backends.Suspended
	default:
		st.State = backends.Running
	}
	if st.State == backends.Running || st.State == backends.Suspended {
		st.Started = b.view.startOf(e)
	}
	return st
}

// wasSuspended: the list of a node does not tell whether a VM is suspended.
func (v *view) wasSuspended(e entry) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	s, ok := v.vms[e.name]
	return ok && s.status.State == backends.Suspended && s.pid == e.pid
}

// startOf is when the VM was started. The server tells its age in seconds: the first answer
// counts for as long as it is the same process.
func (v *view) startOf(e entry) time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	s, ok := v.vms[e.name]
	if !ok {
		s = &seen{at: place{e.node, e.id}}
		v.vms[e.name] = s
	}
	if s.pid != e.pid || s.started.IsZero() {
		s.pid, s.started = e.pid, time.Now().Add(-time.Duration(e.uptime)*time.Second).Truncate(time.Second)
	}
	return s.started
}

// Status of one VM.
func (b *Backend) Status(ctx context.Context, ref backends.Ref) (backends.Status, error) {
	absent := backends.Status{Name: ref.Name, State: backends.Absent}
	if err := names.Machine(ref.Name); err != nil {
		return backends.Status{}, err
	}
	asked := b.view.now()
	f, err := b.find(ctx, ref)
	switch {
	case err != nil:
		return backends.Status{}, err
	case f == nil:
		return absent, nil
	}
	if f.status.State == backends.Running || f.status.State == backends.Suspended {
		f.status.Started = b.recordedStart(ctx, f)
	}
	b.observe(f.entry, f.status, asked)
	return f.status, nil
}

// recordedStart is the exact time, which Start has recorded, for the first question about a
// process.
func (b *Backend) recordedStart(ctx context.Context, f *found) time.Time {
	if at, exact := b.view.exactStart(f.entry, time.Time{}); exact {
		return at
	}
	c, err := b.conf(ctx, f.entry)
	if err != nil {
		return f.status.Started
	}
	recorded := readRecord(c["description"]).Started
	if recorded.IsZero() || recorded.Sub(f.status.Started).Abs() > time.Minute {
		recorded = f.status.Started // another one has started it
	}
	at, _ := b.view.exactStart(f.entry, recorded)
	return at
}

// exactStart returns the start of a process if it is exact, or sets it.
func (v *view) exactStart(e entry, set time.Time) (time.Time, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	s, ok := v.vms[e.name]
	if !ok {
		return set, false
	}
	if !set.IsZero() {
		s.pid, s.started, s.exact = e.pid, set, e.pid
	}
	return s.started, s.exact != 0 && s.exact == e.pid
}

// List of all VMs of this installation, with one question per node.
func (b *Backend) List(ctx context.Context) ([]backends.Status, error) {
	asked := b.view.now()
	s, err := b.scan(ctx)
	if err != nil {
		return nil, err
	}
	return append(b.observeScan(s, asked), b.halfMade(ctx, s)...), nil
}

// halfMade are the VMs of ours that a create was cut off from.
func (b *Backend) halfMade(ctx context.Context, s scan) []backends.Status {
	var all []backends.Status
	for _, e := range s.entries {
		if !e.half() || names.Machine(e.name) != nil {
			continue
		}
		if f, err := b.findIn(ctx, scan{entries: []entry{e}}, backends.Named(e.name)); err == nil && f != nil {
			all = append(all, f.status)
		}
	}
	return all
}
