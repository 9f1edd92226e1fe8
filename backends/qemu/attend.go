package qemu

import (
	"context"
	"errors"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// firstTry and longestTry bound the growing pause between two attempts to reach a
// QEMU that does not answer.
const (
	firstTry   = time.Second
	longestTry = 30 * time.Second
)

// attend brings a VM that this Backend does not hold in line with what runs: it
// tries to adopt its QEMU until that works, and puts the end of the process on
// record when it comes first. tried is closed after the first attempt.
func (b *Backend) attend(v *vm) (tried <-chan struct{}) {
	once := make(chan struct{})
	b.mu.Lock()
	v.mu.Lock()
	begin := !v.attended && !b.closed
	if begin {
		v.attended = true
		b.attending.Add(1)
	}
	v.mu.Unlock()
	b.mu.Unlock()
	if !begin {
		close(once)
		return once
	}
	go func() {
		defer b.attending.Done()
		b.attendUntilHeld(v, once)
	}()
	return once
}

func (b *Backend) attendUntilHeld(v *vm, tried chan<- struct{}) {
	var told string
	for pause := firstTry; ; pause = min(2*pause, longestTry) {
		gone, release := v.files.process()
		err := b.takeUp(v)
		if tried != nil {
			close(tried)
			tried = nil
		}
		if err == nil || !problem.HasCode(err, problem.BackendUnreachable) {
			release()
			v.mu.Lock()
			v.attended = false
			v.mu.Unlock()
			if err != nil && !errors.Is(err, errClosed) {
				b.log.Warn("VM was not adopted", "vm", v.name, "error", err)
			}
			return
		}
		if err.Error() != told {
			told = err.Error()
			b.log.Warn("cannot reach the VM", "vm", v.name, "error", err)
			b.push(v.name)
		}
		timer := time.NewTimer(pause)
		select {
		case <-gone:
		case <-timer.C:
		case <-b.ctx.Done():
		}
		timer.Stop()
		release()
	}
}

// takeUp is one attempt.
func (b *Backend) takeUp(v *vm) error {
	ctx, cancel := context.WithTimeout(b.ctx, 2*b.limits.adopt)
	defer cancel()
	if _, err := b.hold(ctx, backends.Named(v.name)); err != nil {
		return err
	}
	defer v.finish()
	if v.instance() != nil {
		return nil
	}
	return b.adopt(ctx, v)
}

// push tells how a VM that is not held is now.
func (b *Backend) push(name string) {
	b.events.Push(backends.Event{Kind: backends.StateChanged, Status: statusOnDisk(filesOf(b.layout, name), name)})
}

// process returns a channel that is closed when the process on record has ended;
// without one nothing comes of it. release must be called.
func (f vmFiles) process() (gone <-chan struct{}, release func()) {
	r, err := f.readRecord()
	if err != nil || !r.Run.alive() {
		return nil, func() {}
	}
	p, err := openProcess(r.Run.PID, r.Run.Start)
	if err != nil {
		return nil, func() {}
	}
	return p.gone, p.release
}
