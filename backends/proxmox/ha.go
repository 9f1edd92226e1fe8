package proxmox

import (
	"context"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/proxmox/pve"
	"github.com/nixvm/nixvm/internal/sleep"
)

// haPatience is how long the HA manager may take for what was requested of it: it acts in
// rounds of 10 s, and a start may have to wait for its turn.
const haPatience = 2 * time.Minute

// managed reports whether the HA manager starts, stops and moves a VM. The list of a node
// does not tell.
func (b *Backend) managed(ctx context.Context, e entry) (bool, error) {
	if e.asked {
		return e.ha, nil
	}
	now, err := b.current(ctx, place{e.node, e.id})
	return now.ha, err
}

// power is a request that the HA manager takes over for a VM that it manages: the task only
// passes it on, and has the type haKind.
func (e entry) power(managed bool, kind, haKind string, p pve.Params, parts ...string) pve.Start {
	if managed {
		kind = haKind
	}
	return e.task("POST", kind, p, parts...)
}

// await looks at a VM again and again until it is as it is to be. false = it is not within a
// time. A VM that is gone is nil.
func (b *Backend) await(ctx context.Context, ref backends.Ref, within time.Duration, ready func(*found) bool) (bool, error) {
	limited, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		asked := b.view.now()
		f, err := b.find(ctx, ref)
		if err != nil {
			return false, err
		}
		if f != nil {
			b.observe(f.entry, f.status, asked)
		}
		if ready(f) {
			return true, nil
		}
		if !sleep.For(limited, pause) {
			return false, context.Cause(ctx)
		}
	}
}

func isUp(f *found) bool { return f != nil && up(f.status) }

func isDown(f *found) bool {
	return f == nil || !up(f.status) && f.status.State != backends.Unknown
}
