package guesttest

import (
	"context"
	"net"
	"strings"

	"github.com/nixvm/nixvm/nixbuild"
	"github.com/nixvm/nixvm/nixbuild/contract"
)

// Target is what the contract suite must know of a guest.
func Target(img nixbuild.Image, g *Guest) contract.Target {
	files := map[string]string{}
	for name, content := range g.Identity.Files {
		files[name] = content
	}
	return contract.Target{
		Mode: img.Mode, Contract: img.Contract, Version: img.Version, Address: g.Address(22),
		Hostname: strings.TrimSpace(files["hostname"]), MachineID: strings.TrimSpace(files["machine-id"]),
		Key: g.Identity.Key, HostKey: g.Identity.HostKey.PublicKey(), Files: files,
		OpenPort: 8080, ClosedPort: 8081,
		Connect: func(ctx context.Context, port int) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", g.Address(port))
		},
		Renew: g.Renew, Grow: g.Grow,
		Agent: g.Agent, Console: g.Console, PowerOff: g.PowerOff,
	}
}
