package backendtest

import (
	"strings"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// renew gives the running guest another identity, after two that it cannot take.
func (l *life) renew() {
	renewer, ok := backends.As[backends.IdentityRenewer](l.b)
	if !ok || l.h.Renewed == nil || l.h.Exec == nil {
		l.Skip("this backend gives no other identity to a running guest")
	}
	hosts := func() string {
		return l.run(l.name, "cat /etc/hosts; touch "+l.h.StateDisk+"/.renew && rm "+l.h.StateDisk+"/.renew")
	}
	id := l.h.Renewed(l.T, l.name)
	for what, wrong := range map[string]backends.Identity{
		"of another length":   {Medium: id.Medium[:len(id.Medium)-2048], Generation: id.Generation},
		"with nothing on it":  {Medium: make([]byte, len(id.Medium)), Generation: id.Generation},
		"of another renewal ": {Medium: l.spec.Identity, Generation: id.Generation},
	} {
		_, err := renewer.RenewIdentity(l.limit(), backends.Named(l.name), wrong)
		l.refused(err, problem.IdentityNotApplied, "RenewIdentity with a medium "+what)
		l.kept()
	}
	if strings.Contains(hosts(), RenewedHost) {
		l.Error("the guest has what it was never given")
	}
	pending, err := renewer.RenewIdentity(l.limit(), backends.Named(l.name), id)
	l.must(err, "RenewIdentity")
	if len(pending) > 0 {
		l.Errorf("left for the next boot: %v", pending)
	}
	if !strings.Contains(hosts(), RenewedHost) {
		l.Errorf("the guest does not have what it was given: %s", hosts())
	}
	l.spec.Identity = id.Medium
	l.kept()
	l.state(l.name, backends.Running)
}
