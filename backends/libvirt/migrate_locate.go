package libvirt

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// locatePause spaces the questions to a host that does not answer, or that is
// in the middle of something.
const locatePause = 300 * time.Millisecond

// side is what one libvirtd says of the VM's domain.
type side struct {
	dom     golibvirt.Domain
	defined bool // also while nothing runs
	active  bool // it has a QEMU
	paused  bool
	moving  bool // paused because a guest comes in, or goes out
	unclear bool // paused, and its libvirtd was restarted since and does not know why
	ending  bool // QEMU is about to end: its guest powered off, or libvirtd or a client ends it
}

func (s side) running() bool { return s.active && !s.paused && !s.ending }

// is notes what libvirtd says of the domain's state. A QEMU that is being ended is for
// some time neither running nor off ("in shutdown" in virsh): it executes nothing any
// more, so it must not count as the one that has the VM.
func (s *side) is(state golibvirt.DomainState, reason golibvirt.DomainPausedReason) {
	s.active = state != golibvirt.DomainShutoff
	s.ending = state == golibvirt.DomainShutdown
	s.paused = state == golibvirt.DomainPaused
	s.moving = s.paused && (reason == golibvirt.DomainPausedMigration || reason == golibvirt.DomainPausedStartingUp)
	s.unclear = s.paused && reason == golibvirt.DomainPausedUnknown
}

// sideOf asks a libvirtd.
func (m *move) sideOf(ctx context.Context, b *Backend) (side, error) {
	dom, err := b.lookup(ctx, m.spec.UUID)
	if err != nil || dom == nil {
		return side{}, err
	}
	s, err := ask(ctx, b, func(l *golibvirt.Libvirt) (side, error) {
		s := side{dom: *dom}
		// A guest that comes in is defined when all of it is there.
		defined, err := l.DomainIsPersistent(*dom)
		if err != nil {
			return s, err
		}
		state, reason, err := l.DomainGetState(*dom, 0)
		s.defined = defined != 0
		s.is(golibvirt.DomainState(state), golibvirt.DomainPausedReason(reason))
		return s, err
	})
	if hasCode(err, golibvirt.ErrNoDomain) {
		return side{}, nil
	}
	return s, err
}

// locate finds out which host has the VM, after any events
// before, and makes it the only one that runs it: true = the target.
func (m *move) locate(ctx context.Context) (there bool, err error) {
	begun, err := m.begun(ctx)
	if err == nil && !begun {
		return false, nil // no trace of an earlier attempt
	}
	err = m.patiently(ctx, m.to, func() error {
		source, err := m.sideOf(ctx, m.from)
		if err == nil && source.running() {
			there = false // what is at the target has no guest, or its libvirtd does not even answer
			return m.stopOutgoing(ctx, source)
		}
		unknown := err
		target, err := m.sideOf(ctx, m.to)
		switch {
		case err != nil:
			return err
		case target.running():
			there = true
			return nil
		case unknown != nil:
			return unknown
		}
		there, err = m.decide(ctx, source, target)
		return err
	})
	return there, err
}

// errMoving means that it is too early to say.
var errMoving = errors.New("a migration is still under way")

// decide says who has a VM that runs on neither.
func (m *move) decide(ctx context.Context, source, target side) (there bool, err error) {
	switch {
	case target.ending || source.ending: // soon one of them is off
		return false, errMoving
	case target.moving || target.unclear && source.active: // a guest comes in, or its QEMU is about to be ended
		return false, errors.Join(errMoving, m.stopOutgoing(ctx, source))
	case target.active || target.defined:
		return true, nil // it ran there, and was paused or has ended; or it is off, and defined there
	case source.active:
		if err := m.stopOutgoing(ctx, source); err != nil {
			return false, err
		}
		return false, do(ctx, m.from, func(l *golibvirt.Libvirt) error { return l.DomainResume(source.dom) })
	case source.defined:
		return false, nil
	}
	return false, problem.New(problem.VMNotFound, "neither %s nor %s has a domain of %s", m.from.config.Name, m.to.config.Name, m.spec.Name).
		WithHint("its disks still exist; nixvmd destroy %s --confirm %s removes them", m.spec.Name, m.spec.Name)
}

// clear removes from the target what is left of a VM that did not get there.
func (m *move) clear(ctx context.Context) error {
	target, err := m.sideOf(ctx, m.to)
	if err != nil {
		return err
	}
	if target.running() {
		return problem.New(problem.VMExists, "%s is running on both %s and %s", m.spec.Name, m.to.config.Name, m.from.config.Name).
			WithHint("power off the wrong one: virsh -c %s destroy %s", m.to.target.Remote, target.dom.Name)
	}
	return m.to.removeAllButDisks(ctx, m.spec)
}

// stopOutgoing ends a transfer that an earlier daemon has left at the source.
func (m *move) stopOutgoing(ctx context.Context, source side) error {
	if !source.active {
		return nil
	}
	return do(ctx, m.from, func(l *golibvirt.Libvirt) error {
		job, _, _, _, _, _, _, _, _, _, _, _, err := l.DomainGetJobInfo(source.dom)
		if err != nil || golibvirt.DomainJobType(job) != golibvirt.DomainJobUnbounded && golibvirt.DomainJobType(job) != golibvirt.DomainJobBounded {
			return err
		}
		return errors.Join(errMoving, l.DomainAbortJob(source.dom))
	})
}

// begun reports whether an earlier attempt may have reached the target: then
// the disks have its home.
func (m *move) begun(ctx context.Context) (bool, error) {
	s := m.from.pool()
	volumes, err := s.of(ctx, s.prefix(m.spec.Name))
	return slices.Contains(volumes, s.home(m.spec.Name, m.to.config.Name)), err
}

// hasArrived asks the target whether the guest runs there, until it says so.
func (m *move) hasArrived(ctx context.Context) (arrived bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, m.to.limits.decide)
	defer cancel()
	err = m.patiently(ctx, m.to, func() error {
		target, err := m.sideOf(ctx, m.to)
		if err != nil {
			return err
		}
		if target.moving || target.unclear || target.ending {
			return errMoving
		}
		arrived = target.active || target.defined
		return nil
	})
	return arrived, err
}

// patiently calls f until the hosts answer and stand still. Only the caller's
// context ends it; what then is not known is ErrUnsettled.
func (m *move) patiently(ctx context.Context, b *Backend, f func() error) error {
	tick := time.NewTicker(locatePause)
	defer tick.Stop()
	for {
		err := f()
		if err == nil || !errors.Is(err, errMoving) && !errors.Is(err, errLost) && !errors.Is(err, errSilent) && !problem.HasCode(err, problem.BackendUnreachable) {
			return err
		}
		m.report.Message("settle", "waiting for the host of "+b.config.Name)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", backends.ErrUnsettled, err)
		case <-m.from.link.done:
			return fmt.Errorf("%w: %w", backends.ErrUnsettled, errClosed)
		}
	}
}
