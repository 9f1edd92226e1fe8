package libvirt

import (
	"github.com/nixvm/nixvm/internal/problem"
)

// dialSSH reaches a libvirtd of another host.
func dialSSH(t target, _ Config) (dial, error) {
	return nil, problem.New(problem.ConfigInvalid, "this version reaches libvirtd on this host only, not %s", t.Host.Redacted()).
		WithHint("%s", uriHint)
}

// sshDestination is the host as ssh(1) takes it.
func sshDestination(t target) string {
	if user := t.Host.User.Username(); user != "" {
		return user + "@" + t.Host.Hostname()
	}
	return t.Host.Hostname()
}
