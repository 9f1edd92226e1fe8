package qemu

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/internal/names"
)

const (
	// deathGrace is what a killed process gets; only a host in trouble takes longer.
	deathGrace = 30 * time.Second
	// logGrace is what the process that writes QEMU's log gets after QEMU's end.
	logGrace = 2 * time.Second
)

// Kill ends the VM at once. Data that the guest has not written is lost; the
// images stay consistent.
func (b *Backend) Kill(ctx context.Context, ref backends.Ref) error {
	if err := names.Machine(ref.Name); err != nil {
		return err
	}
	// Not an operation like the others: it must get through to a VM on which one
	// is waiting, for a guest that ignores a Shutdown or for a QEMU that hangs.
	v := b.vm(ref.Name)
	defer v.wantEnd()()
	if inst := v.instance(); inst != nil {
		if !v.is(ref) {
			return refusal.NotFound(ref.Name)
		}
		return inst.kill(ctx)
	}
	if _, err := b.hold(ctx, ref); err != nil {
		return err
	}
	defer v.finish()
	return b.endProcess(ctx, v)
}

// endProcess kills what runs, adopted or not: a broken record, or a QEMU that
// does not answer, must not keep the VM from being ended or removed.
func (b *Backend) endProcess(ctx context.Context, v *vm) error {
	if inst := v.instance(); inst != nil {
		return inst.kill(ctx)
	}
	r, err := v.files.readRecord()
	if err == nil && r.Run.alive() {
		return b.endRun(ctx, v, r.Run)
	}
	if pid, ok := v.files.orphan(); ok {
		return killProcess(ctx, pid, 0)
	}
	if err == nil && r.Run != nil {
		return b.recordMissedEnd(ctx, v, r)
	}
	return nil
}

// endRun ends a process that is not held: by the signal on which QEMU writes its
// caches and quits, and then by the one that it cannot refuse.
func (b *Backend) endRun(ctx context.Context, v *vm, r *run) error {
	b.log.Warn("killing an unmanaged QEMU", "vm", v.name, "pid", r.PID)
	v.files.intendEnd()
	p, err := openProcess(r.PID, r.Start)
	switch {
	case errors.Is(err, unix.ESRCH):
	case err != nil:
		return err
	default:
		quit, cancel := context.WithTimeout(ctx, b.limits.quit)
		if p.signal(unix.SIGTERM) == nil {
			_ = wait(quit, p.gone) // or it is killed
		}
		cancel()
		if err := killAndWait(ctx, p); err != nil {
			return err
		}
	}
	if err := endCompanions(ctx, r); err != nil {
		return err
	}
	if err := b.writeEnd(v, end{State: backends.Stopped}); err != nil {
		b.log.Error("cannot record the end of the VM", "vm", v.name, "error", err) // its files say the same
	}
	b.push(v.name)
	return nil
}

// intendEnd marks an end as intended before it, since it may not be recorded after it, see
// vmFiles.ended. Removing a file works on a full disk too.
func (f vmFiles) intendEnd() { _ = os.Remove(f.path(pidFile)) }

// kill asks QEMU to quit, then does not ask. It returns when the end is on record.
func (i *instance) kill(ctx context.Context) error {
	i.expectEnd()
	ctx = context.WithoutCancel(ctx) // a half-killed VM is of no use, and the limits are ours
	quit, cancel := context.WithTimeout(ctx, i.b.limits.quit)
	defer cancel()
	if i.qmp.Execute(quit, "quit", nil, nil) == nil && wait(quit, i.done) == nil {
		return nil
	}
	i.v.files.intendEnd()
	if err := i.proc.kill(); err != nil {
		return fmt.Errorf("kill QEMU: %w", err)
	}
	death, cancel := context.WithTimeout(ctx, deathGrace)
	defer cancel()
	if err := wait(death, i.done); err != nil {
		return fmt.Errorf("QEMU was killed but does not exit: %w", err)
	}
	return nil
}

// killAndWait ends a process that belongs to no instance and releases it.
func killAndWait(ctx context.Context, p *process) error {
	defer p.release()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deathGrace)
	defer cancel()
	err := errors.Join(p.kill(), wait(ctx, p.gone))
	if err == nil {
		p.heard()
	}
	return err
}

// killProcess ends a process known by number and start time, if it still runs.
func killProcess(ctx context.Context, pid int, start uint64) error {
	p, err := openProcess(pid, start)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return err
	}
	return killAndWait(ctx, p)
}
