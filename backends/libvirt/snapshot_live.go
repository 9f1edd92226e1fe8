package libvirt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/freeze"
)

// snapshotLive takes one of a running VM and reports whether the guest was
// frozen. With PowerOff the VM ends before the guest writes again.
func (b *Backend) snapshotLive(ctx context.Context, d domain, req backends.SnapshotRequest, note noteMark) (frozen bool, err error) {
	node, err := b.stateNode(ctx, d)
	if err != nil {
		return false, err
	}
	// From its freeze on nothing is cut off: a guest that stays frozen, or a snapshot
	// without a record, is worse than some seconds.
	whole := context.WithoutCancel(ctx)
	take := func() error { return b.take(whole, d, node.Name, req) }
	if d.agent && d.status.State == backends.Running {
		frozen, err = freeze.Around(ctx, agentGuest{b, d}, b.log.With("vm", d.mark.Name), req.PowerOff, take)
	} else if err = ctx.Err(); err != nil {
		err = context.Cause(ctx)
	} else {
		err = take()
	}
	ctx = whole
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

// take runs the monitor command, after pausing a VM that is to end with it.
func (b *Backend) take(ctx context.Context, d domain, node string, req backends.SnapshotRequest) error {
	take := func() error { return b.takeOnce(ctx, d, node, req.Name) }
	if !req.PowerOff || d.status.State != backends.Running {
		return take()
	}
	request := func(f func(*golibvirt.Libvirt, golibvirt.Domain) error) func() error {
		return func() error {
			return b.again(ctx, func() error { return do(ctx, b, func(l *golibvirt.Libvirt) error { return f(l, d.dom) }) })
		}
	}
	return freeze.Paused(request((*golibvirt.Libvirt).DomainSuspend), take, request((*golibvirt.Libvirt).DomainResume))
}

// takeOnce has QEMU take a snapshot. When the connection breaks meanwhile, the disk
// says whether it was taken.
func (b *Backend) takeOnce(ctx context.Context, d domain, node, name string) error {
	err := b.monitor(ctx, d.dom, "blockdev-snapshot-internal-sync", map[string]string{"device": node, "name": name}, nil)
	if !errors.Is(err, errLost) {
		return err
	}
	broken := err
	return b.again(ctx, func() error {
		n, err := b.stateNode(ctx, d)
		if err == nil && !n.has(name) {
			err = broken
		}
		return err
	})
}

// agentGuest is a guest whose agent answers, as package freeze sees it.
type agentGuest struct {
	b *Backend
	d domain
}

// Flush runs sync in the guest.
func (g agentGuest) Flush(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, g.b.limits.freeze)
	defer cancel()
	return freeze.Sync(ctx, g.execute)
}

// execute runs a command of the agent that libvirt has no request for. libvirt marks
// the domain as tainted.
func (g agentGuest) execute(ctx context.Context, command string, arguments, out any) error {
	text, err := json.Marshal(map[string]any{"execute": command, "arguments": arguments})
	if err != nil {
		return err
	}
	limit := g.b.limits.agent
	reply, err := guest(ctx, g.b, g.d, limit, func(l *golibvirt.Libvirt) (golibvirt.OptString, error) {
		return l.QEMUDomainAgentCommand(g.d.dom, string(text), int32(limit.Seconds()), 0)
	})
	if err != nil {
		return err
	}
	var r struct {
		Return json.RawMessage `json:"return"`
	}
	if err := json.Unmarshal([]byte(strings.Join(reply, "")), &r); err != nil {
		return fmt.Errorf("%s: %w", command, err)
	}
	return json.Unmarshal(r.Return, out)
}

// Record keeps it in the live definition.
func (g agentGuest) Record(ctx context.Context, frozen bool) error {
	m := g.d.mark
	run := *m.Run
	run.Frozen = frozen
	m.Run = &run
	write := func() error {
		return do(context.WithoutCancel(ctx), g.b, func(l *golibvirt.Libvirt) error { return writeMark(l, g.d.dom, m) })
	}
	if frozen {
		return write() // a connection that has broken is no time to begin
	}
	return g.b.again(ctx, write)
}

// Freeze asks the agent. It is not cut off: libvirt would have the thaw wait for it.
func (g agentGuest) Freeze(ctx context.Context) error {
	_, err := guest(context.WithoutCancel(ctx), g.b, g.d, g.b.limits.freeze, func(l *golibvirt.Libvirt) (int32, error) {
		return l.DomainFsfreeze(g.d.dom, nil, 0)
	})
	return err
}

// Thaw asks the agent.
func (g agentGuest) Thaw(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, g.b.limits.freeze)
	defer cancel()
	return g.b.again(ctx, func() error {
		_, err := guest(ctx, g.b, g.d, g.b.limits.freeze, func(l *golibvirt.Libvirt) (int32, error) { return l.DomainFsthaw(g.d.dom, nil, 0) })
		return err
	})
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
		freeze.Thaw(ctx, agentGuest{b, d}, b.log.With("vm", d.mark.Name))
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
