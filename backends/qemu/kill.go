package qemu

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// quitGrace is what QEMU gets to end by itself, with its caches written.
	quitGrace = 3 * time.Second
	// deathGrace is what a killed process gets; only a host in trouble takes longer.
	deathGrace = 30 * time.Second
)

// Kill ends the VM at once. Data that the guest has not written is lost; the
// images stay consistent.
func (b *Backend) Kill(ctx context.Context, name string) error {
	// Not an operation like the others: it must get through to a VM on which
	// one is waiting, such as a Shutdown that the guest ignores.
	if inst := b.held(name); inst != nil {
		return inst.kill(ctx)
	}
	v, err := b.hold(ctx, name)
	if err != nil {
		return err
	}
	defer v.finish()
	if v.instance() != nil {
		return b.endProcess(ctx, v)
	}
	if err := b.adopt(ctx, v); err != nil {
		b.log.Warn("killing a QEMU that does not answer", "vm", name, "error", err)
	}
	if err := b.endProcess(ctx, v); err != nil || v.instance() != nil {
		return err
	}
	return b.adopt(ctx, v) // puts its end on record
}

// kill asks QEMU to quit, then does not ask. It returns when the end is on record.
func (i *instance) kill(ctx context.Context) error {
	i.expectEnd()
	ctx = context.WithoutCancel(ctx) // a half-killed VM helps nobody, and the limits are ours
	quit, cancel := context.WithTimeout(ctx, quitGrace)
	defer cancel()
	if i.qmp.Execute(quit, "quit", nil, nil) == nil && wait(quit, i.done) == nil {
		return nil
	}
	if err := i.proc.kill(); err != nil {
		return fmt.Errorf("kill QEMU: %w", err)
	}
	death, cancel := context.WithTimeout(ctx, deathGrace)
	defer cancel()
	if err := wait(death, i.done); err != nil {
		return fmt.Errorf("QEMU was killed and does not end: %w", err)
	}
	return nil
}

// killAndWait ends a process that is nobody's instance and lets go of it.
func killAndWait(ctx context.Context, p *process) error {
	defer p.release()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deathGrace)
	defer cancel()
	return errors.Join(p.kill(), wait(ctx, p.gone))
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
