package vm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
	"github.com/nixvm/nixvm/operation"
	"github.com/nixvm/nixvm/sshconfig"
	"github.com/nixvm/nixvm/vm/inventory"
)

// The states of a forward besides those of sshconfig.HoldState.
const (
	forwardInConfig = "config"  // in the Host block: every ssh connection of the user asks for it
	forwardOff      = "off"     // held by the daemon, while the VM does not run
	forwardInvalid  = "invalid" // a line of the file that is no forward: it has no effect
)

// Forwards lists the remote forwards of a machine and how they are.
func (s *Service) Forwards(_ context.Context, name string) ([]api.Forward, error) {
	e, _, err := s.placed(name)
	if err != nil {
		return nil, err
	}
	guest, err := s.guestOf(e)
	if err != nil {
		return nil, err
	}
	forwards := guest.RemoteForwards()
	var unread []machine.UnreadForward
	if e.Machine != nil {
		unread = e.Machine.UnreadForwards
	}
	held := map[string]sshconfig.ForwardState{}
	if h := s.holderOf(name); h != nil {
		for _, st := range h.States() {
			held[st.Forward.String()] = st
		}
	}
	list := make([]api.Forward, 0, len(forwards)+len(unread))
	for _, f := range forwards {
		out := api.Forward{Listen: f.Listen, Target: f.Target, Daemon: f.Held(), State: forwardInConfig}
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
	for _, u := range unread {
		list = append(list, api.Forward{Listen: u.Text, State: forwardInvalid, Detail: u.Problem().Message})
	}
	return list, nil
}

// OpenedPorts lists what clients have opened on the shared connections of a machine
// (ssh -L, ssh -D): it leads into the guest until the connection ends, regardless of what
// became of the client. A stop ends the connection.
func (s *Service) OpenedPorts(_ context.Context, name string) []api.OpenedPort {
	all, err := s.ssh.Opened(name)
	if err != nil {
		s.log.Warn("cannot determine which ports are open on shared SSH connections", "machine", name, "error", err)
	}
	list := make([]api.OpenedPort, 0, len(all))
	for _, o := range all {
		list = append(list, api.OpenedPort{Listen: o.Listen, Account: o.Account})
	}
	return list
}

// AddForward declares a remote forward, given as after RemoteForward in
// ssh_config(5), and applies it to connections that are open already. One that
// cannot be had, by the SSH configuration or by the guest, is not kept.
func (s *Service) AddForward(ctx context.Context, name, line string) ([]api.Forward, error) {
	f, err := newForward(line)
	if err != nil {
		return nil, err
	}
	return s.changeForwards(ctx, name, func(ctx context.Context) error { return s.addForward(ctx, name, f) })
}

func (s *Service) addForward(ctx context.Context, name string, f machine.RemoteForward) error {
	err := s.editForwards(name, func(m machine.Machine) (machine.Changes, error) {
		if err := forwardConflict(name, m.RemoteForwards, f); err != nil {
			return machine.Changes{}, err
		}
		list := append(slices.Clone(m.RemoteForwards), f)
		return machine.Changes{RemoteForwards: &list}, nil
	})
	if err != nil {
		return err
	}
	if _, err = s.applySSH(ctx, name, ""); err == nil && !f.Held() {
		_, err = s.ssh.ForwardAdd(ctx, name, f)
	}
	if err != nil {
		return errors.Join(err, s.withdrawForward(context.WithoutCancel(ctx), name, f))
	}
	return nil
}

// changeForwards makes one change of a machine's forwards at a time. It may come
// while an operation runs, unless that removes the machine.
func (s *Service) changeForwards(ctx context.Context, name string, change func(context.Context) error) ([]api.Forward, error) {
	if _, _, err := s.realised(name); err != nil {
		return nil, err
	}
	err := s.engine.Edit(ctx, operation.Edit{
		Key: name, What: "its forwards are being changed",
		Beside: func(kind api.Kind) bool { return !removes[kind] },
	}, change)
	if err != nil {
		return nil, err
	}
	s.holdForwards(name)
	return s.Forwards(ctx, name)
}

// withdrawForward takes back what has just been declared.
func (s *Service) withdrawForward(ctx context.Context, name string, f machine.RemoteForward) error {
	err := s.editForwards(name, func(m machine.Machine) (machine.Changes, error) {
		list := slices.DeleteFunc(slices.Clone(m.RemoteForwards), func(g machine.RemoteForward) bool { return g == f })
		return machine.Changes{RemoteForwards: &list}, nil
	})
	if err != nil {
		return fmt.Errorf("could not undo the forward %s: %w", f, err)
	}
	// What kept the configuration from being written may still do: it is then as it was.
	if _, err := s.applySSH(ctx, "", ""); err != nil {
		s.log.Warn("the SSH configuration is not up to date", "error", err)
	}
	return nil
}

// RemoveForward takes a remote forward back, from the machine and from
// connections that are open. line is as in AddForward; the target may be left out.
// A line of the file that is no forward is removed by its own words.
func (s *Service) RemoveForward(ctx context.Context, name, line string) ([]api.Forward, error) {
	return s.changeForwards(ctx, name, func(ctx context.Context) error { return s.removeForward(ctx, name, line) })
}

func (s *Service) removeForward(ctx context.Context, name, line string) error {
	var gone *machine.RemoteForward
	err := s.editForwards(name, func(m machine.Machine) (machine.Changes, error) {
		list, unread := slices.Clone(m.RemoteForwards), m.UnreadForwards
		i := slices.IndexFunc(list, func(f machine.RemoteForward) bool { return f.Listen == line || f.String() == line })
		if i >= 0 {
			f := list[i]
			gone, list = &f, slices.Delete(list, i, i+1)
		} else {
			unread = slices.DeleteFunc(slices.Clone(unread), func(u machine.UnreadForward) bool { return u.Text == line })
			if len(unread) == len(m.UnreadForwards) {
				return machine.Changes{}, problem.New(problem.ForwardNotFound, "%s has no forward %q", name, line).WithHint("nixvmd forward list %s lists them", name)
			}
		}
		return machine.Changes{RemoteForwards: &list, UnreadForwards: &unread}, nil
	})
	if err != nil {
		return err
	}
	if _, err := s.applySSH(ctx, name, ""); err != nil {
		return err
	}
	if gone != nil && !gone.Held() {
		if _, err := s.ssh.ForwardRemove(ctx, name, *gone); err != nil {
			return fmt.Errorf("the forward %[2]s of %[1]s is removed, but an open connection may still have it: %[3]w", name, gone, err)
		}
	}
	return nil
}

// editForwards changes the list in the machine directory: it is read, changed and
// written as a whole. Only within changeForwards.
func (s *Service) editForwards(name string, edit func(machine.Machine) (machine.Changes, error)) error {
	m, _, err := s.realised(name)
	if err != nil {
		return err
	}
	changes, err := edit(m)
	if err != nil {
		return err
	}
	if _, err := s.machines.Update(name, changes); err != nil {
		return problem.Disk(err)
	}
	s.inventory.Reload(name)
	return nil
}

func (s *Service) holderOf(name string) *sshconfig.Holder {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held[name]
}

// holdForwards makes the daemon hold what it must hold of a VM whose sshd answers.
func (s *Service) holdForwards(name string) {
	e, b, err := s.placed(name)
	if err != nil {
		return
	}
	guest, err := s.guestOf(e)
	if err != nil {
		return
	}
	var held []sshconfig.Forward
	for _, f := range guest.RemoteForwards() {
		if f.Held() {
			held = append(held, f)
		}
	}
	h := s.holderOf(name)
	if !e.Ready() || (h == nil && len(held) == 0) {
		return
	}
	if h == nil {
		if h = s.newHolder(name, guest.HostKey, e.Boot, func(ctx context.Context) (net.Conn, error) { return s.inventory.Dial(ctx, b, name) }); h == nil {
			return
		}
	}
	if err := h.Set(held); err != nil {
		s.log.Warn("forwards are not held", "machine", name, "error", err)
	}
}

// newHolder makes the holder of one run of a guest; nil when that has ended
// meanwhile, and would never be closed.
func (s *Service) newHolder(name, hostKey string, run *inventory.Boot, dial sshconfig.DialFunc) *sshconfig.Holder {
	signer, err := s.ssh.Signer()
	if err != nil {
		s.log.Warn("forwards are not held", "machine", name, "error", err)
		return nil
	}
	h := sshconfig.NewHolder(sshconfig.HolderOptions{
		Dial: dial, User: "user", HostKey: hostKey, Signer: signer,
		OnChange: func([]sshconfig.ForwardState) { s.publishVM(name) },
	})
	s.mu.Lock()
	var old *sshconfig.Holder
	// A run that ends after this has its holder dropped: that waits for mu.
	wanted := s.inventory.BootOf(name) == run && !s.closing
	if wanted {
		old = s.held[name]
		s.held[name] = h
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
	h := s.held[name]
	delete(s.held, name)
	s.mu.Unlock()
	if h != nil {
		h.Close()
	}
}

func (s *Service) closeForwards() {
	s.mu.Lock()
	names := slices.Collect(maps.Keys(s.held))
	s.mu.Unlock()
	for _, name := range names {
		s.dropForwards(name)
	}
}

// disconnect closes what holds SSH connections to a VM that is about to go.
func (s *Service) disconnect(ctx context.Context, name string) {
	s.dropForwards(name)
	s.closeMasters(ctx, name)
}
