package vm

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/vm/inventory"
)

// powerOff is what asks a guest to shut down that its backend cannot ask. It outlives
// its connection, which ends with the guest's network.
const powerOff = "sudo -n systemctl poweroff --no-block || sudo -n poweroff"

// powerOffLimit bounds the login and the command.
const powerOffLimit = time.Minute

// shutdown asks the guest to power off and waits until it has: by the backend, or, when
// that is out of reach of a guest that runs, through SSH.
func (s *Service) shutdown(ctx context.Context, b backends.Backend, name string) error {
	asked := b.Shutdown(ctx, s.ref(name))
	if !problem.HasCode(asked, problem.BackendUnreachable) {
		return asked
	}
	// How it is off is an event of the backend.
	changed := make(chan struct{}, 1)
	defer s.Watch(func(c Change) {
		if c.VM == nil || c.VM.Name != name {
			return
		}
		select {
		case changed <- struct{}{}:
		default:
		}
	})()
	s.log.Warn("the backend cannot shut the guest down; trying through SSH", "machine", name, "error", asked)
	if err := s.powerOffBySSH(ctx, name); err != nil {
		s.log.Warn("the guest cannot be shut down through SSH either", "machine", name, "error", err)
		return asked
	}
	for {
		st, err := b.Status(ctx, s.ref(name))
		if err != nil {
			return fmt.Errorf("query backend %s: %w", b.Name(), err)
		}
		if !inventory.Alive(st.State) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return problem.New(problem.VMStopTimeout, "%s has not powered off: %w", name, context.Cause(ctx)).
				WithHint("wait and stop it again, or kill it")
		}
	}
}

// powerOffBySSH runs the command in the guest.
func (s *Service) powerOffBySSH(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, powerOffLimit)
	defer cancel()
	_, err := s.inGuest(ctx, name, powerOff)
	var missing *ssh.ExitMissingError
	if errors.As(err, &missing) { // the guest is going down already
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", powerOff, err)
	}
	return nil
}
