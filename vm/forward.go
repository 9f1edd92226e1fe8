package vm

import (
	"context"
	"errors"
	"net"
	"slices"

	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
	"github.com/nixvm/nixvm/sshconfig"
)

// The states of a forward besides those of sshconfig.HoldState.
const (
	forwardInConfig = "config" // in the Host block: every ssh connection of the user asks for it
	forwardOff      = "off"    // held by the daemon, while the VM does not run
)

// Forwards lists the remote forwards of a machine and how they are.
func (s *Service) Forwards(_ context.Context, name string) ([]Forward, error) {
	m, _, err := s.realised(name)
	if err != nil {
		return nil, err
	}
	held := map[string]sshconfig.ForwardState{}
	if h := s.holderOf(name); h != nil {
		for _, st := range h.States() {
			held[st.Forward.String()] = st
		}
	}
	list := make([]Forward, 0, len(m.RemoteForwards))
	for _, rf := range m.RemoteForwards {
		f := sshForward(rf)
		out := Forward{Listen: f.Listen, Target: f.Target, Daemon: f.Held(), State: forwardInConfig}
		if f.Held() {
			out.State = forwardOff
			if st, ok := held[f.String()]; ok {
				out.State = string(st.State)
				if st.Err != nil {
					out.Detail = st.Err.Error()
				}
			}
		}
		list = append(list, out)
	}
	return list, nil
}

func sshForward(f machine.RemoteForward) sshconfig.Forward {
	return sshconfig.Forward{Listen: f.Listen, Target: f.Target, Daemon: f.Daemon}
}

// AddForward declares a remote forward, given as after RemoteForward in
// ssh_config(5), and applies it to connections that are open already. One that
// such a connection refuses is not declared.
func (s *Service) AddForward(ctx context.Context, name, line string) ([]Forward, error) {
	f, err := newForward(line)
	if err != nil {
		return nil, err
	}
	return s.changeForwards(ctx, name, func(list []machine.RemoteForward) ([]machine.RemoteForward, error) {
		if err := forwardConflict(name, list, f); err != nil {
			return nil, err
		}
		return append(list, f), nil
	}, func() error {
		if sshForward(f).Held() {
			return nil
		}
		if _, err := s.ssh.ForwardAdd(ctx, name, sshForward(f)); err != nil {
			return errors.Join(err, s.withdrawForward(ctx, name, f))
		}
		return nil
	})
}

// withdrawForward takes back what has just been declared.
func (s *Service) withdrawForward(ctx context.Context, name string, f machine.RemoteForward) error {
	ctx = context.WithoutCancel(ctx)
	err := s.editForwards(name, func(list []machine.RemoteForward) ([]machine.RemoteForward, error) {
		return slices.DeleteFunc(list, func(have machine.RemoteForward) bool { return have == f }), nil
	})
	if err != nil {
		return err
	}
	_, err = s.applySSH(ctx, name, "")
	return err
}

// RemoveForward takes a remote forward back, from the machine and from
// connections that are open. line is as in AddForward; the target may be left out.
func (s *Service) RemoveForward(ctx context.Context, name, line string) ([]Forward, error) {
	var gone machine.RemoteForward
	return s.changeForwards(ctx, name, func(list []machine.RemoteForward) ([]machine.RemoteForward, error) {
		i := slices.IndexFunc(list, func(f machine.RemoteForward) bool { return f.Listen == line || f.String() == line })
		if i < 0 {
			return nil, problem.New(problem.ForwardNotFound, "%s has no forward %q", name, line).WithHint("nixvmd forward list %s shows them", name)
		}
		gone = list[i]
		return slices.Delete(list, i, i+1), nil
	}, func() error {
		if sshForward(gone).Held() {
			return nil
		}
		_, err := s.ssh.ForwardRemove(ctx, name, sshForward(gone))
		return err
	})
}

func (s *Service) changeForwards(ctx context.Context, name string,
	edit func([]machine.RemoteForward) ([]machine.RemoteForward, error), live func() error,
) ([]Forward, error) {
	if err := s.editForwards(name, edit); err != nil {
		return nil, err
	}
	if _, err := s.applySSH(ctx, name, ""); err != nil {
		return nil, err
	}
	if err := live(); err != nil {
		return nil, err
	}
	s.holdForwards(name)
	return s.Forwards(ctx, name)
}

// editForwards changes the list in the machine directory, one change at a time: it
// is read, changed and written as a whole.
func (s *Service) editForwards(name string, edit func([]machine.RemoteForward) ([]machine.RemoteForward, error)) error {
	s.editing.Lock()
	defer s.editing.Unlock()
	m, _, err := s.realised(name)
	if err != nil {
		return err
	}
	list, err := edit(slices.Clone(m.RemoteForwards))
	if err != nil {
		return err
	}
	if _, err := s.machines.Update(name, machine.Changes{RemoteForwards: &list}); err != nil {
		return diskProblem(err)
	}
	s.reload(name)
	return nil
}

func (s *Service) holderOf(name string) *sshconfig.Holder {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entries[name]; e != nil {
		return e.holder
	}
	return nil
}

// holdForwards makes the daemon hold what it must hold of a VM whose sshd answers.
func (s *Service) holdForwards(name string) {
	m, b, err := s.realised(name)
	if err != nil {
		return
	}
	var held []sshconfig.Forward
	for _, f := range m.RemoteForwards {
		if sf := sshForward(f); sf.Held() {
			held = append(held, sf)
		}
	}
	s.mu.Lock()
	e := s.entries[name]
	ready := e != nil && e.boot != nil && e.boot.isReady() && !s.closing
	var h *sshconfig.Holder
	var run *boot
	if ready {
		h, run = e.holder, e.boot
	}
	s.mu.Unlock()
	if !ready || (h == nil && len(held) == 0) {
		return
	}
	if h == nil {
		if h = s.newHolder(m, run, func(ctx context.Context) (net.Conn, error) { return s.dialGuest(ctx, b, name) }); h == nil {
			return
		}
	}
	if err := h.Set(held); err != nil {
		s.log.Warn("forwards are not held", "machine", name, "error", err)
	}
}

// newHolder makes the holder of one run of a guest; nil when that has ended
// meanwhile, and nobody would close it.
func (s *Service) newHolder(m machine.Machine, run *boot, dial sshconfig.DialFunc) *sshconfig.Holder {
	signer, err := s.ssh.Signer()
	if err != nil {
		s.log.Warn("forwards are not held", "machine", m.Name, "error", err)
		return nil
	}
	h := sshconfig.NewHolder(sshconfig.HolderOptions{
		Dial: dial, User: "user", HostKey: m.HostKeyPublic, Signer: signer,
		OnChange: func([]sshconfig.ForwardState) { s.publishVM(m.Name) },
	})
	s.mu.Lock()
	var old *sshconfig.Holder
	e := s.entries[m.Name]
	wanted := e != nil && e.boot == run && !s.closing
	if wanted {
		old, e.holder = e.holder, h
	}
	s.mu.Unlock()
	if old != nil {
		old.Close()
	}
	if !wanted {
		h.Close()
		return nil
	}
	return h
}

// dropForwards ends what the daemon holds of a VM.
func (s *Service) dropForwards(name string) {
	s.mu.Lock()
	var h *sshconfig.Holder
	if e := s.entries[name]; e != nil {
		h, e.holder = e.holder, nil
	}
	s.mu.Unlock()
	if h != nil {
		h.Close()
	}
}

func (s *Service) closeForwards() {
	s.mu.Lock()
	names := make([]string, 0, len(s.entries))
	for name := range s.entries {
		names = append(names, name)
	}
	s.mu.Unlock()
	for _, name := range names {
		s.dropForwards(name)
	}
}
