package inventory

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/sshconfig"
)

// Boot is one wait for the SSH server of a guest: from the start of its CPUs, or from
// the time when they go on, to the first answer with the pinned host key.
type Boot struct {
	run    time.Time // when the run of the guest began, as the backend says; zero = it does not
	cancel context.CancelFunc
	kick   chan struct{} // try at once: the guest agent came up
	done   chan struct{} // closed when sshd has answered, or the wait has failed

	once sync.Once
	err  error // after done: nil = ready
}

func (b *Boot) finish(err error) {
	b.once.Do(func() {
		b.err = err
		close(b.done)
	})
}

// end gives up the wait: the guest is gone or boots again.
func (b *Boot) end() {
	b.cancel()
	b.finish(problem.New(problem.VMNotRunning, "the VM stopped").Retry())
}

// Done is closed when sshd has answered, or the wait has failed.
func (b *Boot) Done() <-chan struct{} { return b.done }

// waiting reports whether sshd is still waited for.
func (b *Boot) waiting() bool {
	select {
	case <-b.done:
		return false
	default:
		return true
	}
}

// Ready reports whether sshd has answered.
func (b *Boot) Ready() bool { return !b.waiting() && b.err == nil }

// failed reports whether the wait for sshd was given up.
func (b *Boot) failed() bool { return !b.waiting() && b.err != nil }

// needsBoot reports whether the guest must prove anew, or for the first time, that its
// sshd answers: what is known of it belongs to another run, or its network has gone, or
// it was paused before it had answered. A wait that was under way then may be about to
// fail, because it has seen the guest paused: it is not relied on.
func (e *Entry) needsBoot(before, now backends.Status) bool {
	switch {
	case now.State != backends.Running:
		return false
	case e.Boot == nil || !Alive(before.State):
		return true
	case before.State != backends.Running && !e.Boot.Ready():
		return true
	case now.Cut && !before.Cut:
		return true
	}
	return !now.Started.IsZero() && !e.Boot.run.IsZero() && !now.Started.Equal(e.Boot.run)
}

// givenUp reports whether the wait for the sshd of a guest that runs has failed, while
// what it needs to know is there: it failed because a file could not be read then, or
// had another host key.
func (e *Entry) givenUp() bool {
	_, known := e.Guest()
	return known && e.Record != nil && e.Status.State == backends.Running && e.Boot != nil && e.Boot.failed()
}

func (v *Inventory) awaitsSSH(name string) bool {
	b := v.BootOf(name)
	return b != nil && b.waiting()
}

// BootOf returns the current run of a guest; nil when it does not run.
func (v *Inventory) BootOf(name string) *Boot {
	if e, ok := v.Get(name); ok {
		return e.Boot
	}
	return nil
}

// Restart begins to wait for the guest's sshd anew: it boots again, or is reached in
// another way.
func (v *Inventory) Restart(name string) {
	v.mu.Lock()
	begin := func() {}
	if _, ok := v.Get(name); ok {
		v.edit(name, func(e *Entry) { begin = v.newBoot(e) })
	}
	v.mu.Unlock()
	begin()
}

// newBoot makes a boot the current one of an entry that is about to be stored, and
// returns what is left to do without mu, which is held.
func (v *Inventory) newBoot(e *Entry) (begin func()) {
	ctx, cancel := context.WithCancel(v.ctx)
	name, old := e.Name, e.Boot
	b := &Boot{run: e.Status.Started, cancel: cancel, kick: make(chan struct{}, 1), done: make(chan struct{})}
	e.Boot, e.Address = b, ""
	closing := v.closing
	if !closing {
		v.wg.Add(1)
	}
	return func() {
		if old != nil {
			old.end()
		}
		if closing {
			b.end()
			return
		}
		go func() {
			defer v.wg.Done()
			v.awaitSSH(ctx, name, b)
		}()
	}
}

// End ends the current run of a guest that is gone, or has moved.
func (v *Inventory) End(name string) {
	v.mu.Lock()
	e, ok := v.Get(name)
	if !ok || e.Boot == nil {
		v.mu.Unlock()
		return
	}
	v.edit(name, func(e *Entry) { e.Boot, e.Address = nil, "" })
	v.mu.Unlock()
	e.Boot.end()
	v.options.Hooks.Ended(name)
}

// kick makes the wait for sshd try at once.
func (v *Inventory) kick(name string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.kickLocked(name)
}

func (v *Inventory) kickLocked(name string) {
	if b := v.BootOf(name); b != nil {
		select {
		case b.kick <- struct{}{}:
		default:
		}
	}
}

// awaitSSH finishes the boot when sshd answers.
func (v *Inventory) awaitSSH(ctx context.Context, name string, b *Boot) {
	backend, guest, err := v.reach(name)
	reached := err == nil
	if reached {
		err = sshconfig.WaitReady(ctx, sshconfig.WaitOptions{
			Dial:    func(ctx context.Context) (net.Conn, error) { return v.Dial(ctx, backend, name) },
			HostKey: guest.HostKey,
			Kick:    b.kick,
		})
	}
	b.finish(err)
	if err != nil {
		if ctx.Err() == nil {
			v.options.Log.Warn("sshd does not answer correctly", "machine", name, "error", err)
			if reached { // else Reload begins anew
				v.awaitAgain(ctx, name, b)
			}
		}
		return
	}
	v.options.Log.Info("ready", "machine", name)
	v.options.Hooks.Ready(name)
	v.options.Hooks.Changed(name)
}

// awaitAgain begins the wait of a guest that runs anew, after a pause or when its agent
// comes up. What made it fail need not last: the backend was not reached for a moment, or
// did not know yet that the guest runs. Another host key than the pinned one does last;
// Reload begins anew when that is another one.
func (v *Inventory) awaitAgain(ctx context.Context, name string, b *Boot) {
	if problem.HasCode(b.err, problem.SSHHostKey) {
		return
	}
	timer := time.NewTimer(v.options.Again)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-b.kick:
	case <-ctx.Done():
		return
	}
	v.mu.Lock()
	begin := func() {}
	if e, ok := v.Get(name); ok && e.Boot == b && e.Status.State == backends.Running {
		v.edit(name, func(e *Entry) { begin = v.newBoot(e) })
	}
	v.mu.Unlock()
	begin()
}

// reach is what a connection to a guest needs.
func (v *Inventory) reach(name string) (backends.Backend, Guest, error) {
	e, ok := v.Get(name)
	if !ok {
		return nil, Guest{}, problem.New(problem.VMNotFound, "there is no VM %s", name)
	}
	guest, known := e.Guest()
	if !known {
		if p := e.Broken(); p != nil {
			return nil, guest, p
		}
		return nil, guest, problem.New(problem.MachineBroken, "the host key of %s is unknown", name).
			WithHint("restore its directory %s", v.options.Machines.Dir(name))
	}
	for _, b := range v.options.Backends {
		if b.Name() == e.Host() {
			return b, guest, nil
		}
	}
	return nil, guest, problem.New(problem.BackendUnknown, "there is no backend %q", e.Host())
}

// Dial connects to the guest's sshd wherever it is now.
func (v *Inventory) Dial(ctx context.Context, b backends.Backend, name string) (net.Conn, error) {
	ep, err := b.Endpoint(ctx, v.Ref(name))
	if err != nil {
		return nil, err
	}
	v.setAddress(name, ep.Address)
	var d net.Dialer
	return d.DialContext(ctx, ep.Network, ep.Address)
}

func (v *Inventory) setAddress(name, address string) {
	v.mu.Lock()
	e, ok := v.Get(name)
	changed := ok && e.Boot != nil && e.Address != address
	if changed {
		v.edit(name, func(e *Entry) { e.Address = address })
	}
	v.mu.Unlock()
	if changed {
		v.options.Hooks.Changed(name)
	}
}

// WaitReady returns when sshd of a running VM answers. When the guest reboots
// meanwhile, the next boot is waited for.
func (v *Inventory) WaitReady(ctx context.Context, name string) error {
	for {
		b := v.BootOf(name)
		if b == nil {
			return problem.New(problem.VMNotRunning, "%s is not running", name).WithHint("nixvmd start %s", name)
		}
		select {
		case <-b.done:
			if b.err == nil || v.BootOf(name) == b {
				return b.err
			}
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return problem.New(problem.VMNotReady, "the SSH server of %s has not answered", name).
					WithHint("check its console: nixvmd console %s", name).Retry()
			}
			return ctx.Err()
		}
	}
}
