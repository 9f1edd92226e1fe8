package vm

import (
	"context"
	"strings"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
)

// networkChanges are the changes of the guest's address, name servers and hosts.
func networkChanges(m machine.Machine, req api.ConfigureParams, c *machine.Changes, wrong *fieldErrors) {
	addressChanges(m, req, c, wrong)
	if req.Nameservers != nil {
		text := ""
		for line := range strings.Lines(m.ResolvConf) { // search and options stay
			if f := strings.Fields(line); len(f) > 0 && f[0] != "nameserver" {
				text += line
			}
		}
		if len(req.Nameservers) > 0 {
			text = "nameserver " + strings.Join(req.Nameservers, "\nnameserver ") + "\n" + text
		}
		c.ResolvConf = &text
	}
	if req.Hosts != nil {
		text := ""
		for _, line := range req.Hosts {
			text += line + "\n"
		}
		c.Hosts = &text
	}
}

func addressChanges(m machine.Machine, req api.ConfigureParams, c *machine.Changes, wrong *fieldErrors) {
	address, gateway := "", ""
	if m.StaticIP != nil {
		address = m.StaticIP.Address.String()
		if m.StaticIP.Gateway.IsValid() {
			gateway = m.StaticIP.Gateway.String()
		}
	}
	switch {
	case req.StaticIP == nil && req.Gateway == nil:
		return
	case req.StaticIP != nil && (*req.StaticIP == "" || *req.StaticIP == "dhcp"):
		if given(req.Gateway, "") != "" {
			wrong.add(fieldGateway, problem.New(problem.BadParams, "gateway: with DHCP the gateway comes from the DHCP server").WithHint("set a static address too: staticIp, or --static-ip"))
		}
		c.DHCP = true
		return
	}
	if req.StaticIP != nil {
		address = *req.StaticIP
	}
	if address == "" {
		wrong.add(fieldGateway, problem.New(problem.BadParams, "gateway: there is no static address").WithHint("set one: staticIp, or --static-ip"))
		return
	}
	if _, err := machine.ParseStaticIP(address, ""); err != nil {
		wrong.add(fieldStaticIP, err)
		return
	}
	ip, err := machine.ParseStaticIP(address, given(req.Gateway, gateway))
	if err != nil {
		wrong.add(fieldGateway, err) // the address alone is right
		return
	}
	c.StaticIP = &ip
}

// checkAddress refuses a static address that the machine's network, as it is to be,
// does not have.
func checkAddress(ctx context.Context, b backends.Backend, m machine.Machine, c machine.Changes) error {
	ip, network := m.StaticIP, m.Network
	if c.StaticIP != nil || c.DHCP {
		ip = c.StaticIP
	}
	if c.Network != nil {
		network = *c.Network
	}
	host, can := backends.As[backends.AddressChecker](b)
	if !can || ip == nil || c.StaticIP == nil && c.Network == nil {
		return nil
	}
	return host.CheckAddress(ctx, m.Name, networkOn(b, network).Bridge, ip.Address)
}

// keyChanges are the changes of the authorized keys, of both accounts.
func (s *Service) keyChanges(m machine.Machine, req api.ConfigureParams, c *machine.Changes, wrong *fieldErrors) {
	if len(req.AddKeys) == 0 && len(req.RemoveKeys) == 0 {
		return
	}
	for _, key := range req.AddKeys {
		wrong.add(fieldAddKeys, machine.CheckKey(key))
	}
	own, err := s.ssh.PublicKey()
	wrong.add(fieldNone, err)
	admin, user := machine.AddKeys(m.AdminKeys, req.AddKeys), machine.AddKeys(m.UserKeys, req.AddKeys)
	for _, which := range req.RemoveKeys {
		if len(machine.RemoveKeys([]string{own}, which)) == 0 {
			wrong.add(fieldRemoveKeys, problem.New(problem.BadParams, "removeKeys: that is nixvm's own key, which every guest authorizes").
				WithHint("nixvmd needs it to reach the VM"))
			continue
		}
		before := len(admin) + len(user)
		admin, user = machine.RemoveKeys(admin, which), machine.RemoveKeys(user, which)
		if len(admin)+len(user) == before {
			wrong.add(fieldRemoveKeys, machine.KeyMissing(m.Name, which))
		}
	}
	c.AdminKeys, c.UserKeys = &admin, &user
}
