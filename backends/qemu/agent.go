package qemu

import (
	"context"
	"errors"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/host"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/backends/qemu/qmp"
)

// errNoAgent means that no agent has opened its port in the guest.
var errNoAgent = errors.New("the guest agent is not running")

// withAgent runs f with a synchronised agent, or fails at once if none is there.
func (i *instance) withAgent(ctx context.Context, f func(*qmp.Agent) error) error {
	if !i.agentUp() {
		return errNoAgent
	}
	return i.withAnyAgent(ctx, f)
}

// withAnyAgent does not ask whether the port is open, for a guest of which we
// have seen no events.
func (i *instance) withAnyAgent(ctx context.Context, f func(*qmp.Agent) error) error {
	select {
	case i.talking <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-i.done:
		return errGone
	}
	defer func() { <-i.talking }()
	sync, cancel := context.WithTimeout(ctx, i.b.limits.sync)
	defer cancel()
	a, err := i.dialAgent(sync)
	if err != nil {
		return err
	}
	defer a.Close()
	return f(a)
}

func (i *instance) dialAgent(ctx context.Context) (a *qmp.Agent, err error) {
	err = shortly(i.sockets.path(agentSocket), func(path string) error {
		a, err = qmp.DialAgent(ctx, path)
		return err
	})
	return a, err
}

// ask runs one command with the usual limit.
func (i *instance) ask(ctx context.Context, command string, arguments, out any) error {
	return i.withAgent(ctx, func(a *qmp.Agent) error {
		ctx, cancel := context.WithTimeout(ctx, i.b.limits.reply)
		defer cancel()
		return a.Execute(ctx, command, arguments, out)
	})
}

// shutdownByAgent waits until the agent has taken the request, which it does not
// answer: QEMU drops what the guest has not read when we hang up
// (chardev/char-socket.c), so we stay until the agent answers the next request,
// or for a moment.
func (i *instance) shutdownByAgent(ctx context.Context) error {
	return i.withAgent(ctx, func(a *qmp.Agent) error {
		ctx, cancel := context.WithTimeout(ctx, i.b.limits.reply)
		defer cancel()
		if err := a.Send(ctx, "guest-shutdown", map[string]string{"mode": "powerdown"}); err != nil {
			return err
		}
		ctx, stop := context.WithTimeout(ctx, i.b.limits.taken)
		defer stop()
		err := a.Execute(ctx, "guest-ping", nil, nil)
		var refused *qmp.Error
		if errors.As(err, &refused) {
			return err // the refusal of guest-shutdown
		}
		return nil
	})
}

// setTime steps the guest's clock to the host's.
func (i *instance) setTime(ctx context.Context) error {
	return i.ask(ctx, "guest-set-time", map[string]int64{"time": time.Now().UnixNano()}, nil)
}

// SyncClock compares and steps the clock of a running guest; see backends.ClockKeeper.
func (b *Backend) SyncClock(ctx context.Context, ref backends.Ref) (backends.ClockStep, error) {
	inst, err := b.running(ref)
	if err != nil {
		return backends.ClockStep{}, err
	}
	if inst.status().State != backends.Running {
		return backends.ClockStep{}, refusal.NotRunning(ref.Name)
	}
	var step backends.ClockStep
	err = inst.withAgent(ctx, func(a *qmp.Agent) error {
		ctx, cancel := context.WithTimeout(ctx, inst.b.limits.reply)
		defer cancel()
		var err error
		step, err = backends.SyncClock(ctx, guestClock{a}, host.ClockSynchronised)
		return err
	})
	return step, err
}

var _ backends.ClockKeeper = (*Backend)(nil)

// guestClock is the clock of a guest whose agent answers.
type guestClock struct{ agent *qmp.Agent }

func (c guestClock) Get(ctx context.Context) (time.Time, error) {
	var ns int64
	err := c.agent.Execute(ctx, "guest-get-time", nil, &ns)
	return time.Unix(0, ns), err
}

func (c guestClock) Set(ctx context.Context, to time.Time) error {
	return c.agent.Execute(ctx, "guest-set-time", map[string]int64{"time": to.UnixNano()}, nil)
}

// guestInterface is an element of guest-network-get-interfaces.
type guestInterface struct {
	MAC       string `json:"hardware-address"`
	Addresses []struct {
		Type    string `json:"ip-address-type"`
		Address string `json:"ip-address"`
	} `json:"ip-addresses"`
}

// nics is the reply in the terms of backends.AddressOf.
func nics(reply []guestInterface) []backends.NIC {
	list := make([]backends.NIC, 0, len(reply))
	for _, n := range reply {
		c := backends.NIC{MAC: n.MAC}
		for _, a := range n.Addresses {
			c.Addresses = append(c.Addresses, a.Address)
		}
		list = append(list, c)
	}
	return list
}
