package contract

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/nixbuild"
)

// place is where an identity file lies, by mode.
type place struct {
	name, state, mutable string
	secret               bool
}

// places is the table of the contract.
var places = []place{
	{name: "hostname", state: "/var/identity/hostname", mutable: "/etc/hostname"},
	{name: "machine-id", state: "/var/identity/machine-id", mutable: "/etc/machine-id"},
	{name: "admin_authorized_keys", state: "/var/identity/admin_authorized_keys", mutable: "/etc/ssh/authorized_keys.d/admin"},
	{name: "user_authorized_keys", state: "/var/identity/user_authorized_keys", mutable: "/etc/ssh/authorized_keys.d/user"},
	{name: "ssh_host_ed25519_key", state: "/var/identity/ssh_host_ed25519_key", mutable: "/etc/ssh/ssh_host_ed25519_key", secret: true},
	{name: "tcp_ports", state: "/var/identity/tcp_ports", mutable: "/etc/firewall-ports/tcp_ports"},
	{name: "udp_ports", state: "/var/identity/udp_ports", mutable: "/etc/firewall-ports/udp_ports"},
	{name: "allowed_cidrs", state: "/var/identity/allowed_cidrs", mutable: "/etc/firewall-ports/allowed_cidrs"},
	{name: "static_ip", state: "/var/identity/static_ip", mutable: "/etc/network-config/static_ip"},
	{name: "resolv.conf", state: "/var/identity/resolv.conf", mutable: "/etc/network-config/resolv.conf"},
	{name: "hosts", state: "/var/identity/hosts", mutable: "/etc/network-config/hosts"},
	{name: "ca-cert.pem", state: "/var/identity/ca-cert.pem", mutable: "/etc/nixvm/ca-cert.pem"},
	{name: "root_password_hash", state: "/var/identity/root_password_hash", mutable: "/etc/root_password_hash", secret: true},
}

func (p place) path(mode string) string {
	if mode == nixbuild.Mutable {
		return p.mutable
	}
	return p.state
}

var identityChecks = []check{
	{name: "the hostname is the machine's", run: func(t *testing.T, g *guest) {
		needs(t, g.Hostname != "", "the hostname")
		prints("hostname", g.Hostname)(t, g)
	}},
	{name: "the machine id is the machine's", run: func(t *testing.T, g *guest) {
		needs(t, g.MachineID != "", "the machine id")
		prints("cat /etc/machine-id", g.MachineID)(t, g)
	}},
	{name: "every identity file is in its place, unchanged", run: func(t *testing.T, g *guest) {
		needs(t, len(g.Files) > 0, "the identity files")
		// In one go: a connection to an emulated guest is slow.
		var known []place
		command := ""
		for _, p := range places {
			if _, ok := g.Files[p.name]; ok {
				known = append(known, p)
				command += "sudo base64 -w 0 " + p.path(g.Mode) + "; echo .; "
			}
		}
		lines := strings.Split(g.must(t, command), "\n")
		if len(lines) != len(known) {
			t.Fatalf("%d lines for %d files: %q", len(lines), len(known), lines)
		}
		for i, p := range known {
			want := base64.StdEncoding.EncodeToString([]byte(g.Files[p.name])) + "."
			if lines[i] != want {
				t.Errorf("%s is not what nixvmd wrote", p.path(g.Mode))
			}
		}
	}},
	{name: "no identity file is unknown to the contract", run: func(t *testing.T, g *guest) {
		for name := range g.Files {
			if !slices.ContainsFunc(places, func(p place) bool { return p.name == name }) {
				t.Errorf("%s has no place", name)
			}
		}
	}},
	{name: "only root can read the host key and the password hash", run: func(t *testing.T, g *guest) {
		for _, p := range places {
			if !p.secret {
				continue
			}
			if _, status := output(t, g.user, "cat "+p.path(g.Mode)); status == 0 {
				t.Errorf("user can read %s", p.path(g.Mode))
			}
			if got := g.must(t, "sudo stat -c %a:%U "+p.path(g.Mode)); got != "600:root" {
				t.Errorf("mode and owner of %s are %s", p.path(g.Mode), got)
			}
		}
	}},
	{name: "user cannot read the identity medium", run: func(t *testing.T, g *guest) {
		command := "for d in /dev/[sv]d? /dev/sr?; do [ ! -e $d ] || ! head -c 1 $d >/dev/null 2>&1 || echo $d; done"
		if out, _ := output(t, g.user, command); out != "" {
			t.Errorf("user can read %s", out)
		}
	}},
	{name: "names resolve to the machine itself", run: func(t *testing.T, g *guest) {
		needs(t, g.Hostname != "", "the hostname")
		g.must(t, "getent hosts localhost && getent hosts "+quote(g.Hostname))
	}},
}
