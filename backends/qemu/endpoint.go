package qemu

import (
	"context"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/internal/problem"
)

// Endpoint is the forwarded port, or, on a bridge, the address that the guest
// agent reports for the VM's card.
func (b *Backend) Endpoint(ctx context.Context, ref backends.Ref) (backends.Endpoint, error) {
	inst, err := b.running(ref)
	if problem.HasCode(err, problem.BackendUnreachable) {
		// The network is a process of its own, and the port is on record.
		if r, rerr := filesOf(b.layout, ref.Name).readRecord(); rerr == nil && r.Run.alive() && r.Run.Bridge == "" && r.Port != 0 {
			return backends.TCP("127.0.0.1", r.Port), nil
		}
	}
	if err != nil {
		return backends.Endpoint{}, err
	}
	if inst.status().State != backends.Running {
		return backends.Endpoint{}, refusal.Suspended(ref.Name)
	}
	r, err := b.readOnly(ref.Name)
	if err != nil {
		return backends.Endpoint{}, err
	}
	if inst.run.Bridge == "" {
		return backends.TCP("127.0.0.1", r.Port), nil
	}
	var reply []guestInterface
	if err := inst.ask(ctx, "guest-network-get-interfaces", nil, &reply); err != nil {
		return backends.Endpoint{}, refusal.NoAddress(ref.Name, err)
	}
	ip, ok := backends.AddressOf(r.MAC, nics(reply))
	if !ok {
		return backends.Endpoint{}, refusal.NoAddress(ref.Name, nil)
	}
	return backends.TCP(ip.String(), 22), nil
}
