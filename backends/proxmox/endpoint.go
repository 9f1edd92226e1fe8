package proxmox

import (
	"context"

	goproxmox "github.com/luthermonson/go-proxmox"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/backends/proxmox/pve"
)

// interfaces are the network cards as the guest agent shows them.
func (b *Backend) interfaces(ctx context.Context, e entry) ([]backends.NIC, error) {
	var answer struct {
		Result []goproxmox.AgentNetworkIface
	}
	if err := b.api.Get(ctx, e.path("agent", "network-get-interfaces"), nil, &answer); err != nil {
		return nil, err
	}
	var all []backends.NIC
	for _, i := range answer.Result {
		nic := backends.NIC{MAC: i.HardwareAddress}
		for _, a := range i.IPAddresses {
			nic.Addresses = append(nic.Addresses, a.IPAddress)
		}
		all = append(all, nic)
	}
	return all, nil
}

// Endpoint is the static address of the guest, or the one that its agent shows for the card
// of the VM.
func (b *Backend) Endpoint(ctx context.Context, ref backends.Ref) (backends.Endpoint, error) {
	none := backends.Endpoint{}
	f, err := b.need(ctx, ref)
	switch {
	case err != nil:
		return none, err
	case f.status.State == backends.Suspended:
		return none, refusal.Suspended(ref.Name)
	case f.status.State != backends.Running:
		return none, refusal.NotRunning(ref.Name)
	}
	c, err := b.conf(ctx, f.entry)
	if err != nil {
		return none, b.problem(err)
	}
	if r := readRecord(c["description"]); r.Address != "" {
		return backends.TCP(r.Address, 22), nil
	}
	nics, err := b.interfaces(ctx, f.entry)
	switch {
	case pve.AgentAway(err):
		return none, refusal.NoAddress(ref.Name, err)
	case pve.NotRunning(err):
		return none, refusal.NotRunning(ref.Name)
	case err != nil:
		return none, b.problem(err)
	}
	if ip, ok := backends.AddressOf(c.option("net0", "virtio"), nics); ok {
		return backends.TCP(ip.String(), 22), nil
	}
	return none, refusal.NoAddress(ref.Name, nil)
}
