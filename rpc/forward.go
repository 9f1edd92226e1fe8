package rpc

import (
	"context"

	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/vm"
)

// Forward is a remote forward: a port or socket in the guest that leads to the host.
type Forward struct {
	// Listen in the guest: "[bind:]port" or the absolute path of a socket; of a line
	// that is no forward the line itself.
	Listen string `json:"listen"`
	// Target on the host: "host:port" or the absolute path of a socket.
	Target string `json:"target"`
	// Daemon: held by the daemon's own connection, not by the Host block.
	Daemon bool `json:"daemon"`
	// State is "config" (in the Host block), "active", "conflict", "lost", "off", or
	// "invalid" (a line of the file that is no forward, and has no effect).
	State string `json:"state"`
	// Detail of the state, for people.
	Detail string `json:"detail,omitempty"`
}

// ForwardListResult is the forwards of one machine.
type ForwardListResult struct {
	// Forwards in the order of the file remote_forwards.
	Forwards []Forward `json:"forwards"`
	// Opened ports and sockets of the host that lead into the guest: what clients
	// (ssh -L, ssh -D) opened on a shared connection, and what stays until that ends.
	Opened []OpenedPort `json:"opened,omitempty"`
}

// OpenedPort is a port or socket of the host that leads into a guest.
type OpenedPort struct {
	// Listen on the host: address:port, or the path of a socket.
	Listen string `json:"listen"`
	// Account in the guest that the connection belongs to.
	Account string `json:"account,omitempty"`
}

// ForwardParams names one forward of a machine.
type ForwardParams struct {
	Tokens
	// Name of the machine.
	Name string `json:"name"`
	// Forward as after RemoteForward in ssh_config(5), e.g. "8080 localhost:80"; a
	// trailing "daemon" lets the daemon hold it.
	Forward string `json:"forward"`
}

// Validate implements params.
func (p ForwardParams) Validate() error {
	return firstOf(p.fields())
}

// fields checks the form of each.
func (p ForwardParams) fields() []fieldCheck {
	return []fieldCheck{{"name", checkName(p.Name)}, {"forward", checkRequired("forward", p.Forward)}, {"forward", checkLine("forward", p.Forward)}}
}

func forwardMethods() []Method {
	answer := func(ctx context.Context, s *session, name string, list []vm.Forward, err error) (any, error) {
		out := ForwardListResult{Forwards: make([]Forward, 0, len(list))}
		for _, f := range list {
			out.Forwards = append(out.Forwards, Forward{Listen: f.Listen, Target: f.Target, Daemon: f.Daemon, State: f.State, Detail: f.Detail})
		}
		if err != nil {
			return out, err
		}
		for _, o := range s.srv.core.OpenedPorts(ctx, name) {
			out.Opened = append(out.Opened, OpenedPort{Listen: o.Listen, Account: o.Account})
		}
		return out, nil
	}
	return []Method{
		slow(MethodForwardList, "The remote forwards of a machine and what became of each.",
			func(ctx context.Context, s *session, p MachineParams) (any, error) {
				list, err := s.srv.core.Forwards(ctx, p.Name)
				return answer(ctx, s, p.Name, list, err)
			}, result[ForwardListResult](problem.MachineNotFound)),
		change(MethodForwardAdd, "Add a remote forward, and apply it to a live connection at once.",
			func(ctx context.Context, s *session, p ForwardParams) (any, error) {
				list, err := s.srv.core.AddForward(ctx, p.Name, p.Forward)
				return answer(ctx, s, p.Name, list, err)
			}, result[ForwardListResult](problem.MachineNotFound, problem.ForwardConflict, problem.MachineInvalid, problem.BadParams)),
		change(MethodForwardRemove, "Remove a remote forward, and cancel it on a live connection.",
			func(ctx context.Context, s *session, p ForwardParams) (any, error) {
				list, err := s.srv.core.RemoveForward(ctx, p.Name, p.Forward)
				return answer(ctx, s, p.Name, list, err)
			}, result[ForwardListResult](problem.MachineNotFound, problem.ForwardNotFound)),
	}
}
