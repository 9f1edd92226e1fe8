package sshconfig

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Shared is what another computer needs to reach a VM by its own ssh.
type Shared struct {
	Config    string // Host blocks for its ~/.ssh/config, of both accounts
	KnownHost string // the line for its known_hosts
}

// Share returns the text for another computer, where sshd of the VM is at address,
// host:port. The key is pinned by its own name, so another address needs no other line.
func (c *Config) Share(h Host, address string) (Shared, error) {
	at, err := netip.ParseAddrPort(address) // a guest may have said it
	if err == nil && (!uuidPattern.MatchString(h.UUID) || h.knownHost() == "") {
		err = errors.New("the machine has no UUID or host key")
	}
	if err != nil {
		return Shared{}, fmt.Errorf("share %s: %w", h.Name, err)
	}
	var b strings.Builder
	aliases := c.Aliases(h.Name)
	for _, one := range [][2]string{{aliases.User, "user"}, {aliases.Admin, "admin"}} {
		fmt.Fprintf(&b, "Host %s\n    HostName %s\n", one[0], at.Addr())
		if at.Port() != 22 {
			fmt.Fprintf(&b, "    Port %d\n", at.Port())
		}
		fmt.Fprintf(&b, "    User %s\n    HostKeyAlias %s\n    StrictHostKeyChecking yes\n    ForwardAgent no\n    ForwardX11 no\n", one[1], h.keyAlias())
	}
	return Shared{Config: b.String(), KnownHost: h.knownHost()}, nil
}
