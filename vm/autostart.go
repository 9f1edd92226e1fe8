package vm

import (
	"context"

	"github.com/nixvm/nixvm/backends"
)

// checkAutostart refuses what the backend cannot do. Switching it off is always
// possible: a machine may come from a backend that can.
func checkAutostart(b backends.Backend, on bool) error {
	if _, can := backends.As[backends.Autostarter](b); on && !can {
		return backends.NoAutostart(b.Name())
	}
	return nil
}

// autostartDefault is what the configuration of a backend says of new machines.
func (s *Service) autostartDefault(backend string) bool {
	host, can := backends.As[backends.Autostarter](s.backends[backend])
	return can && host.AutostartDefault()
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
	host, can := backends.As[backends.Autostarter](b)
	if s.recordOf(before.Name) == nil || !can {
		return nothing, nil
	}
	if err := host.SetAutostart(ctx, s.ref(before.Name), *on); err != nil {
		return nil, err
	}
	return func() error {
		return host.SetAutostart(context.WithoutCancel(ctx), s.ref(before.Name), before.Autostart)
	}, nil
}
