package vm

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
	"github.com/nixvm/nixvm/sshconfig"
)

// boot is one run of a guest, from the start of its CPUs to their end or the
// next reboot. It knows whether sshd has answered with the pinned host key.
type boot struct {
	run    time.Time // when the run began that it belongs to, as the backend says; zero = it does not
	cancel context.CancelFunc
	kick   chan struct{} // the guest agent came up: try at once
	done   chan struct{} // closed when ready or given up

	once sync.Once
	err  error // after done: nil = ready
}

func (b *boot) settle(err error) {
	b.once.Do(func() {
		b.err = err
		close(b.done)
	})
}

func (b *boot) isReady() bool {
	select {
	case <-b.done:
		return b.err == nil
	default:
		return false
	}
}

// failed reports whether the wait for sshd was given up.
func (b *boot) failed() bool {
	select {
	case <-b.done:
		return b.err != nil
	default:
		return false
	}
}

// needsBoot reports whether a guest must prove anew, or for the first time, that
// its sshd answers: what is known of it belongs to another run, there is nothing
// because this daemon found it paused, the wait was given up while it was paused,
// or its network has gone.
func (e *entry) needsBoot(before, now backends.Status) bool {
	switch {
	case now.State != backends.Running:
		return false
	case e.boot == nil || !alive(before.State):
		return true
	case before.State != backends.Running && e.boot.failed():
		return true
	case now.Cut && !before.Cut:
		return true
	}
	return !now.Started.IsZero() && !e.boot.run.IsZero() && !now.Started.Equal(e.boot.run)
}

// givenUp reports whether the wait for the sshd of a guest that runs has failed,
// while what it needs to know is there: it failed because a file could not be read
// then, or had another host key.
func (e *entry) givenUp() bool {
	return e.machine != nil && e.record != nil && e.status.State == backends.Running && e.boot != nil && e.boot.failed()
}

// awaitsSSH reports whether the guest's sshd is still waited for.
func (s *Service) awaitsSSH(name string) bool {
	b := s.bootOf(name)
	if b == nil {
		return false
	}
	select {
	case <-b.done:
		return false
	default:
		return true
	}
}

// newBoot begins to wait for the guest's sshd.
func (s *Service) newBoot(name string) {
	s.mu.Lock()
	begin := s.newBootLocked(name)
	s.mu.Unlock()
	begin()
}

// newBootLocked makes the boot the current one, so that whoever sees the VM run
// finds it, and returns what is left to do without mu, which is held.
func (s *Service) newBootLocked(name string) (begin func()) {
	ctx, cancel := context.WithCancel(s.ctx)
	e := s.entryFor(name)
	b := &boot{run: e.status.Started, cancel: cancel, kick: make(chan struct{}, 1), done: make(chan struct{})}
	old := e.boot
	e.boot, e.address = b, ""
	closing := s.closing
	if !closing {
		s.wg.Add(1)
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
			defer s.wg.Done()
			s.awaitSSH(ctx, name, b)
		}()
	}
}

// end gives up a boot: the guest is gone or boots again.
func (b *boot) end() {
	b.cancel()
	b.settle(problem.New(problem.VMNotRunning, "the VM stopped").Retry())
}

// endBoot ends the current boot of a VM that does not run any more, and reports
// whether there was one.
func (s *Service) endBoot(name string) bool {
	s.mu.Lock()
	e := s.entries[name]
	if e == nil || e.boot == nil {
		s.mu.Unlock()
		return false
	}
	b := e.boot
	e.boot, e.address = nil, ""
	s.mu.Unlock()
	b.end()
	s.dropForwards(name)
	return true
}

// kick passes on that the guest agent has come up: to the wait for sshd, and as
// progress to whoever watches the operation that waits.
func (s *Service) kick(name string) {
	s.mu.Lock()
	op := s.running[name]
	if op != nil && op.value.Step != readyStepName {
		op = nil
	}
	s.kickLocked(name)
	s.mu.Unlock()
	if op != nil {
		s.stepProgress(op, progress.Update{Message: "the guest is up; waiting for its SSH server", Current: 7, Total: 10})
	}
}

func (s *Service) kickLocked(name string) {
	if e := s.entries[name]; e != nil && e.boot != nil {
		select {
		case e.boot.kick <- struct{}{}:
		default:
		}
	}
}

// awaitSSH settles the boot when sshd answers.
func (s *Service) awaitSSH(ctx context.Context, name string, b *boot) {
	m, backend, err := s.realised(name)
	if err == nil {
		err = sshconfig.WaitReady(ctx, sshconfig.WaitOptions{
			Dial:    func(ctx context.Context) (net.Conn, error) { return s.dialGuest(ctx, backend, name) },
			HostKey: m.HostKeyPublic,
			Kick:    b.kick,
		})
	}
	b.settle(err)
	if err != nil {
		if ctx.Err() == nil {
			s.log.Warn("sshd does not answer as it should", "machine", name, "error", err)
		}
		return
	}
	s.log.Info("ready", "machine", name)
	if s.config.SSH.Style == string(sshconfig.Direct) {
		s.repairSSH() // the port may be another one
	}
	s.holdForwards(name)
	s.publishVM(name)
}

// dialGuest connects to the guest's sshd wherever it is now.
func (s *Service) dialGuest(ctx context.Context, b backends.Backend, name string) (net.Conn, error) {
	ep, err := b.Endpoint(ctx, name)
	if err != nil {
		return nil, err
	}
	s.setAddress(name, ep.Address)
	var d net.Dialer
	return d.DialContext(ctx, ep.Network, ep.Address)
}

func (s *Service) setAddress(name, address string) {
	s.mu.Lock()
	e := s.entries[name]
	changed := e != nil && e.address != address
	if changed {
		e.address = address
	}
	s.mu.Unlock()
	if changed {
		s.publishVM(name)
	}
}

// waitReady returns when sshd of a running VM answers. When the guest reboots
// meanwhile, the next boot is waited for.
func (s *Service) waitReady(ctx context.Context, name string) error {
	for {
		b := s.bootOf(name)
		if b == nil {
			return problem.New(problem.VMNotRunning, "%s does not run", name).WithHint("nixvmd start %s", name)
		}
		select {
		case <-b.done:
			if b.err == nil || s.bootOf(name) == b {
				return b.err
			}
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return problem.New(problem.VMNotReady, "the SSH server of %s has not answered", name).
					WithHint("see what it does: nixvmd console %s", name).Retry()
			}
			return ctx.Err()
		}
	}
}

func (s *Service) bootOf(name string) *boot {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entries[name]; e != nil {
		return e.boot
	}
	return nil
}
