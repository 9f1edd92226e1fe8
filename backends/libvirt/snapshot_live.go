package libvirt

import (
	"context"
	"errors"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"

	"github.com/nixvm/nixvm/backends"
)

// snapshotLive takes one of a running VM and reports whether the guest was
// frozen. With PowerOff the VM ends before the guest writes again.
func (b *Backend) snapshotLive(ctx context.Context, d domain, req backends.SnapshotRequest, note noteMark) (frozen bool, err error) {
	node, err := b.stateNode(ctx, d)
	if err != nil {
		return false, err
	}
	if err := ctx.Err(); err != nil {
		return false, context.Cause(ctx)
	}
	// From here on nothing is cut off: a guest that stays frozen, or a snapshot
	// of which nobody knows, is worse than some seconds.
	ctx = context.WithoutCancel(ctx)
	began := time.Now()
	frozen = b.freeze(ctx, d)
	err = b.take(ctx, d, node.Name, req)
	if err != nil || !req.PowerOff {
		if frozen {
			b.thaw(ctx, d)
		}
		b.log.Info("snapshot taken", "vm", d.mark.Name, pauseKey, time.Since(began), "error", err)
	}
	if err != nil {
		return frozen, err
	}
	if req.PowerOff {
		if err := b.again(ctx, func() error { return b.end(ctx, d) }); err != nil {
			return frozen, err
		}
	}
	note.Frozen = frozen
	err = b.redefine(ctx, d, b.snapshotXML(d, req, note), note)
	return frozen, errors.Join(err, b.refresh(ctx, d.mark.Name))
}

// pauseKey is the log's key for how long the guest could not write.
const pauseKey = "paused"

// take runs the monitor command, after pausing a VM that is to end with it. On
// error the VM goes on as if nothing had been asked.
func (b *Backend) take(ctx context.Context, d domain, node string, req backends.SnapshotRequest) error {
	pause := req.PowerOff && d.status.State == backends.Running
	if pause {
		if err := b.again(ctx, func() error { return do(ctx, b, func(l *golibvirt.Libvirt) error { return l.DomainSuspend(d.dom) }) }); err != nil {
			return err
		}
	}
	err := b.monitor(ctx, d.dom, "blockdev-snapshot-internal-sync", map[string]string{"device": node, "name": req.Name}, nil)
	if errors.Is(err, errLost) {
		broken := err
		err = b.again(ctx, func() error {
			n, err := b.stateNode(ctx, d)
			if err == nil && !n.has(req.Name) {
				err = broken
			}
			return err
		})
	}
	if err != nil && pause {
		err = errors.Join(err, b.again(ctx, func() error {
			return do(ctx, b, func(l *golibvirt.Libvirt) error { return l.DomainResume(d.dom) })
		}))
	}
	return err
}

// freeze makes the guest write everything and wait. It reports whether it does;
// a guest without an agent, or a suspended one, is left alone.
func (b *Backend) freeze(ctx context.Context, d domain) bool {
	if !d.agent || d.status.State != backends.Running {
		return false
	}
	err := b.noteFrozen(ctx, d, true)
	if err == nil {
		_, err = guest(ctx, b, d, b.limits.freeze, func(l *golibvirt.Libvirt) (int32, error) { return l.DomainFsfreeze(d.dom, nil, 0) })
	}
	if err == nil {
		return true
	}
	b.log.Warn("the guest cannot be frozen for the snapshot", "vm", d.mark.Name, "error", err)
	// The command may still be under way in the guest.
	b.thaw(ctx, d)
	return false
}

// thaw lets the guest write again. What cannot be thawed stays on record, and
// is tried again when libvirtd is reached the next time.
func (b *Backend) thaw(ctx context.Context, d domain) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), b.limits.freeze)
	defer cancel()
	err := b.again(ctx, func() error {
		_, err := guest(ctx, b, d, b.limits.freeze, func(l *golibvirt.Libvirt) (int32, error) { return l.DomainFsthaw(d.dom, nil, 0) })
		return err
	})
	if err == nil {
		err = b.again(ctx, func() error { return b.noteFrozen(ctx, d, false) })
	}
	if err != nil {
		b.log.Error("the guest may still be frozen", "vm", d.mark.Name, "error", err)
	}
}

// noteFrozen keeps in the live definition whether the guest may be frozen.
func (b *Backend) noteFrozen(ctx context.Context, d domain, frozen bool) error {
	m := d.mark
	run := *m.Run
	run.Frozen = frozen
	m.Run = &run
	return do(ctx, b, func(l *golibvirt.Libvirt) error { return writeMark(l, d.dom, m) })
}

// thawLeft thaws guests that a daemon which ended left frozen.
func (b *Backend) thawLeft(ctx context.Context) {
	b.mu.Lock()
	var left []domain
	for _, d := range b.domains {
		if d.running() && d.mark.Run != nil && d.mark.Run.Frozen {
			left = append(left, *d)
		}
	}
	b.mu.Unlock()
	for _, d := range left {
		release, err := b.reserve(ctx, d.mark.Name)
		if err != nil {
			return
		}
		b.thaw(ctx, d)
		release()
	}
}

// guest runs a request that the guest's agent must answer. libvirt waits for an
// agent without end unless it is told how long; a slow guest is no reason to
// take libvirtd for dead.
func guest[T any](ctx context.Context, b *Backend, d domain, limit time.Duration, f func(*golibvirt.Libvirt) (T, error)) (T, error) {
	var none T
	c, err := b.link.get(ctx)
	if err != nil {
		return none, err
	}
	return call(ctx, c, limit+b.limits.agent, func(l *golibvirt.Libvirt) (T, error) {
		if _, err := l.DomainAgentSetResponseTimeout(d.dom, int32(limit.Seconds()), 0); err != nil {
			return none, err
		}
		return f(l)
	})
}
