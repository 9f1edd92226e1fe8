package vm

import (
	"context"

	"github.com/nixvm/nixvm/backends"
)

// checkAutostart refuses what the backend cannot do. Switching it off is always
// possible: a machine may come from a backend that can.
func checkAutostart(b backends.Backend, on bool) error {
	if on && !b.Capabilities().Autostart {
		return backends.NoAutostart(b.Name())
	}
	return nil
}

// setAutostart tells the backend of a VM whether to start it with its host: a
// change of the machine's files alone would hold from the next start only. The
// function that it returns takes the change back.
func (s *Service) setAutostart(ctx context.Context, before VM, on *bool) (undo func() error, err error) {
	nothing := func() error { return nil }
	if on == nil {
		return nothing, nil
	}
	b, err := s.backend(before.Backend)
	if err != nil {
		return nil, err
	}
	if err := checkAutostart(b, *on); err != nil {
		return nil, err
	}
	if s.recordOf(before.Name) == nil || !b.Capabilities().Autostart {
		return nothing, nil
	}
	if err := b.SetAutostart(ctx, before.Name, *on); err != nil {
		return nil, err
	}
	return func() error { return b.SetAutostart(context.WithoutCancel(ctx), before.Name, before.Autostart) }, nil
}
