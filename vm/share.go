package vm

import (
	"context"
	"net"
	"strings"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
	"github.com/nixvm/nixvm/sshconfig"
)

// Shared is what another computer needs to reach a VM.
type Shared struct {
	VM      VM
	Address string // host:port of sshd
	sshconfig.Shared
	Warning string // about the address; empty = none
}

// Share authorizes keys of another computer of the user's, and returns what its ssh
// needs to reach a VM that is on a bridge.
func (s *Service) Share(ctx context.Context, name string, keys []string, client string) (Shared, error) {
	m, b, err := s.realised(name)
	if err != nil {
		return Shared{}, err
	}
	address, warning, err := s.sharedAddress(b, m)
	if err != nil {
		return Shared{}, err
	}
	shared := Shared{Address: address, Warning: warning}
	host := sshconfig.Host{Name: name, UUID: m.UUID, HostKey: m.HostKeyPublic}
	if shared.Shared, err = s.ssh.Share(host, address); err != nil {
		return Shared{}, err
	}
	if len(keys) > 0 && m.Mode == machine.Mutable {
		return Shared{}, problem.New(problem.Unsupported, "%s is mutable: its guest owns the authorized keys", name).
			WithHint("add the key inside the VM: ssh %s sudo tee -a /etc/ssh/authorized_keys.d/user < KEY.pub; then share it without a key", s.ssh.Aliases(name).Admin)
	}
	if len(keys) == 0 {
		shared.VM, err = s.Get(name)
		return shared, err
	}
	shared.VM, err = s.Configure(ctx, api.ConfigureParams{Name: name, AddKeys: keys}, client)
	return shared, err
}

// sharedAddress is where other computers reach the guest's sshd. warning says that it may
// change.
func (s *Service) sharedAddress(b backends.Backend, m machine.Machine) (address, warning string, err error) {
	if networkOn(b, m.Network).Bridge == "" {
		return "", "", problem.New(problem.Unsupported, "%s is not on a bridge: other computers cannot reach it", m.Name).
			WithHint("nixvmd configure %s --network bridge:INTERFACE connects it to one at its next start", m.Name)
	}
	if m.StaticIP != nil {
		return net.JoinHostPort(m.StaticIP.Address.Addr().String(), "22"), "", nil
	}
	e, ok := s.inventory.Get(m.Name)
	switch {
	case !ok || e.Address == "":
		return "", "", problem.New(problem.VMNotRunning, "the address of %s is unknown: it gets one from DHCP while it is running", m.Name).
			WithHint("nixvmd start %s, or give it a static address: nixvmd configure %s --static-ip", m.Name, m.Name)
	case strings.HasPrefix(e.Address, "127."):
		return "", "", problem.New(problem.VMNotReady, "%s joins its bridge at its next start", m.Name).WithHint("nixvmd reboot %s", m.Name)
	}
	return e.Address, "the address comes from DHCP and may change; nixvmd configure " + m.Name + " --static-ip sets a permanent one", nil
}
