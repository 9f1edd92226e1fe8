package proxmox

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/backends/proxmox/pve"
	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/sleep"
)

// up reports whether there is something to end.
func up(st backends.Status) bool {
	return st.State == backends.Running || st.State == backends.Suspended
}

// Shutdown asks the guest, again and again, until it is off: a guest that is still booting
// loses the first requests.
func (b *Backend) Shutdown(ctx context.Context, ref backends.Ref) error {
	f, err := b.need(ctx, ref)
	if err != nil || !up(f.status) {
		return err
	}
	if f.status.State == backends.Suspended {
		if err := b.run(ctx, f.task("POST", "qmresume", nil, "status", "resume")); err != nil {
			return b.failed(problem.Internal, "resume "+ref.Name, err)
		}
	}
	for pause := time.Second; ; pause = min(2*pause, 10*time.Second) {
		err := b.askToPowerOff(ctx, f.entry)
		if ctx.Err() != nil {
			return refusal.StillOn(ref.Name, context.Cause(ctx))
		}
		off, lookErr := b.isOff(ctx, ref)
		switch {
		case off:
			return nil
		case ctx.Err() != nil:
			return refusal.StillOn(ref.Name, context.Cause(ctx))
		case lookErr != nil:
			return lookErr
		}
		var task *pve.TaskError
		if err != nil && !errors.As(err, &task) && !pve.Lost(err) {
			return b.failed(problem.Internal, "shut down "+ref.Name, err)
		}
		if !sleep.For(ctx, pause) {
			return refusal.StillOn(ref.Name, context.Cause(ctx))
		}
	}
}

// The longest time for which one request to power off waits. It keeps other requests for
// the VM waiting meanwhile.
const shutdownPatience = 60 * time.Second

// askToPowerOff asks once, and waits for it. A request whose waiter has left is ended.
func (b *Backend) askToPowerOff(ctx context.Context, e entry) error {
	patience := shutdownPatience
	if deadline, ok := ctx.Deadline(); ok {
		patience = max(min(patience, time.Until(deadline)), time.Second)
	}
	p := pve.Params{"timeout": strconv.Itoa(int(patience.Seconds()))}
	managed, err := b.managed(ctx, e)
	if err != nil {
		return err
	}
	upid, err := b.api.Begin(ctx, e.power(managed, "qmshutdown", "hastop", p, "status", "shutdown"))
	if err != nil {
		return err
	}
	err = b.finish(ctx, upid, nil)
	if err == nil && managed {
		_, err = b.await(ctx, backends.Ref{Name: e.name, UUID: e.mark.UUID}, patience, isDown)
	}
	if ctx.Err() != nil && upid != "" {
		clean, cancel := afterwards(ctx)
		defer cancel()
		_ = b.api.StopTask(clean, upid) // it ends by itself otherwise
	}
	return err
}

// isOff asks whether a VM is off, or gone, and takes note.
func (b *Backend) isOff(ctx context.Context, ref backends.Ref) (bool, error) {
	asked := b.view.now()
	f, err := b.find(ctx, ref)
	switch {
	case err != nil:
		return false, err
	case f == nil:
		return true, nil
	}
	b.observe(f.entry, f.status, asked)
	return !up(f.status) && f.status.State != backends.Unknown, nil
}

// Kill ends the VM at once, whatever else goes on with it.
func (b *Backend) Kill(ctx context.Context, ref backends.Ref) error {
	f, err := b.need(ctx, ref)
	if err != nil {
		return err
	}
	b.overtake(ref.Name)
	return b.kill(ctx, f)
}

// killAttempts is how often a VM is stopped while other tasks hold it.
const killAttempts = 4

func (b *Backend) kill(ctx context.Context, f *found) error {
	for attempt := 1; ; attempt++ {
		if !up(f.status) {
			return nil
		}
		err := b.forceOff(ctx, f.entry)
		off, lookErr := b.isOff(ctx, backends.Ref{Name: f.name, UUID: f.mark.UUID})
		switch {
		case off:
			return nil
		case lookErr != nil:
			return lookErr
		case attempt == killAttempts || err != nil && !pve.LockTimeout(err) && pve.LockedBy(err) == "" && !pve.Lost(err):
			if err == nil {
				err = errors.New("the server says that it has stopped the VM, which runs")
			}
			return b.failed(problem.Internal, "kill "+f.name, err)
		}
		b.stopTasks(ctx, f.entry)
	}
}

// forceOff requests the end of a VM once.
func (b *Backend) forceOff(ctx context.Context, e entry) error {
	managed, err := b.managed(ctx, e)
	if err != nil {
		return err
	}
	p := pve.Params{"overrule-shutdown": "1"}
	if managed {
		p = nil // the server refuses it for these
	}
	if err := b.api.Run(ctx, e.power(managed, "qmstop", "hastop", p, "status", "stop"), nil); err != nil || !managed {
		return err
	}
	_, err = b.await(ctx, backends.Ref{Name: e.name, UUID: e.mark.UUID}, haPatience, isDown)
	return err
}

// stopTasks ends the tasks of this token that hold a VM.
func (b *Backend) stopTasks(ctx context.Context, e entry) {
	var tasks []struct{ UPID string }
	if err := b.api.Get(ctx, pve.Path("nodes", e.node, "tasks"), pve.Params{"source": "active", "vmid": itoa(e.id)}, &tasks); err != nil {
		return
	}
	for _, t := range tasks {
		if err := b.api.StopTask(ctx, pve.UPID(t.UPID)); err != nil {
			b.log.Info("a task cannot be ended", "task", t.UPID, "error", err)
		}
	}
}

// Destroy ends the VM and deletes it with its disks, snapshots and identity medium.
func (b *Backend) Destroy(ctx context.Context, ref backends.Ref) error {
	if err := names.Machine(ref.Name); err != nil {
		return err
	}
	f, err := b.findSettled(ctx, ref)
	if err != nil {
		return err
	}
	if f != nil {
		b.overtake(ref.Name)
		if err := b.kill(ctx, f); err != nil {
			return err
		}
	}
	ctx, done, err := b.begin(ctx, ref.Name)
	if err != nil {
		return err
	}
	defer done()
	s, err := b.scan(ctx)
	if err != nil {
		return err
	}
	if f, err = b.findIn(ctx, s, ref); err != nil || f == nil {
		return err
	}
	if f.status.State == backends.Unknown {
		return nodeDown(f.status)
	}
	if err := b.killAndRemove(ctx, f); err != nil {
		return err
	}
	b.dropMedium(ctx, f.node, f.mark.UUID)
	if err := b.dropSpares(ctx, s, ref.Name); err != nil {
		b.log.Warn("a spare VM stays", "error", err)
	}
	b.consoles.Drop(ref.Name)
	b.gone(ref.Name)
	return nil
}

// killAndRemove deletes a VM. The task of a start that was overtaken may still power it on,
// between its end and the request to delete it.
func (b *Backend) killAndRemove(ctx context.Context, f *found) error {
	ref := backends.Ref{Name: f.name, UUID: f.mark.UUID}
	for attempt := 1; ; attempt++ {
		if err := b.kill(ctx, f); err != nil {
			return err
		}
		err := b.remove(ctx, f.entry)
		if err == nil {
			return nil
		}
		again, lookErr := b.find(ctx, ref)
		if lookErr != nil || again == nil || !up(again.status) || attempt == killAttempts {
			return b.failed(problem.Internal, "destroy "+f.name, err)
		}
		f = again
	}
}
