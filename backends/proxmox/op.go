package proxmox

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nixvm/nixvm/backends/proxmox/pve"
	"github.com/nixvm/nixvm/internal/progress"
	"github.com/nixvm/nixvm/internal/sleep"
)

// errOvertaken is why a change of a VM ended: it was killed, or is destroyed.
var errOvertaken = errors.New("the VM has been killed meanwhile")

// changes are the changes of VMs that are going on. Kill and Destroy end that of their VM.
type changes struct {
	mu  sync.Mutex
	end map[string]context.CancelCauseFunc // by name
}

// begin takes the lock of a VM for a change. done gives it back.
func (b *Backend) begin(ctx context.Context, name string) (changing context.Context, done func(), err error) {
	unlock, err := b.names.Lock(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	if ctx, err = b.withTasks(ctx); err != nil {
		unlock()
		return nil, nil, err
	}
	changing, cancel := context.WithCancelCause(ctx)
	b.changes.mu.Lock()
	if b.changes.end == nil {
		b.changes.end = map[string]context.CancelCauseFunc{}
	}
	b.changes.end[name] = cancel
	b.changes.mu.Unlock()
	return changing, func() {
		b.changes.mu.Lock()
		delete(b.changes.end, name)
		b.changes.mu.Unlock()
		cancel(nil)
		unlock()
	}, nil
}

// overtake ends the change of a VM that is going on.
func (b *Backend) overtake(name string) {
	b.changes.mu.Lock()
	defer b.changes.mu.Unlock()
	if end := b.changes.end[name]; end != nil {
		end(errOvertaken)
	}
}

// cleanupLimit bounds what is done after a failure, when the context of the request may
// have ended.
const cleanupLimit = 2 * time.Minute

// afterwards is a context for cleaning up.
func afterwards(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), cleanupLimit)
}

// The attempts at a request that found the VM locked for a moment. The server has waited
// for 10 s then.
const lockAttempts = 3

// run begins a task and waits for it. A task that could not get the lock of its VM has
// done nothing, and is begun again.
func (b *Backend) run(ctx context.Context, s pve.Start) error {
	for attempt := 1; ; attempt++ {
		err := b.api.Run(ctx, s, nil)
		if err == nil || !pve.LockTimeout(err) || attempt == lockAttempts || !sleep.For(ctx, time.Second) {
			return err
		}
	}
}

// runOrStop is run for a task that must not go on when its VM is killed or destroyed. When
// the daemon ends, it goes on: the next one waits for it.
func (b *Backend) runOrStop(ctx context.Context, s pve.Start) error {
	for attempt := 1; ; attempt++ {
		upid, err := b.api.Begin(ctx, s)
		if err == nil && upid != "" {
			err = b.finish(ctx, upid, nil)
		}
		if errors.Is(context.Cause(ctx), errOvertaken) && upid != "" {
			clean, cancel := afterwards(ctx)
			defer cancel()
			if stopErr := b.api.StopTask(clean, upid); stopErr != nil {
				b.log.Info("a task cannot be ended", "task", upid, "error", stopErr)
			}
			return err
		}
		if err == nil || !pve.LockTimeout(err) || attempt == lockAttempts || !sleep.For(ctx, time.Second) {
			return err
		}
	}
}

// task is a request about one VM that begins a task of a type.
func (e entry) task(method, kind string, p pve.Params, parts ...string) pve.Start {
	return pve.Start{Method: method, Path: e.path(parts...), Params: p, Node: e.node, Type: kind, ID: itoa(e.id)}
}

// put changes options of a VM. Setting the same again changes nothing, so that a request
// whose answer is lost may be repeated.
func (b *Backend) put(ctx context.Context, e entry, p pve.Params) error {
	for attempt := 1; ; attempt++ {
		err := b.api.Put(ctx, e.path("config"), p, nil)
		if err == nil || !pve.Lost(err) && !pve.LockTimeout(err) || attempt == lockAttempts || !sleep.For(ctx, time.Second) {
			return err
		}
	}
}

// logTo passes the log of a task on as progress.
func logTo(report progress.Reporter, vertex string) func(string) {
	if report == nil {
		return nil
	}
	return func(line string) { report.Log(vertex, line) }
}
