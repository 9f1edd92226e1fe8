package vm

import (
	"context"
	"slices"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// doctorSSH says whether there is an ssh, whether it reads our entries by the user's
// configuration, and what that adds to them.
func (s *Service) doctorSSH(ctx context.Context) []api.Finding {
	s.sshMu.Lock()
	defer s.sshMu.Unlock()
	if err := s.ssh.Check(ctx, s.hosts("")); err != nil {
		return []api.Finding{sshFinding(problem.From(err))}
	}
	list := []api.Finding{{Area: "ssh", Code: "ssh.ok", Severity: backends.Info, Message: "ssh accepts " + s.ssh.UserConfig()}}
	return slices.Concat(list, s.doctorInherited(ctx), s.doctorOpened())
}

// doctorOpened names the ports of the host that lead into a guest because a client
// opened them on a shared connection, and is perhaps long gone.
func (s *Service) doctorOpened() []api.Finding {
	var names []string
	for _, h := range s.hosts("") {
		names = append(names, h.Name)
	}
	all, err := s.ssh.Opened(names...)
	if err != nil {
		return []api.Finding{sshFinding(problem.From(err))}
	}
	var list []api.Finding
	for _, o := range all {
		name := o.Alias
		if o.Account != "" {
			name = o.Account + "@" + name
		}
		list = append(list, api.Finding{
			Area: "ssh", Code: "ssh.opened", Severity: backends.Info,
			Message: o.Listen + " leads into " + o.Machine + ": a client opened it on the shared connection (ssh -L or -D), which keeps it open until it ends",
			Fix:     "stop the VM, or end the connection: ssh -O exit " + name,
		})
	}
	return list
}

func sshFinding(p *problem.Error) api.Finding {
	severity := backends.Fatal
	if p.Code == problem.SSHConfigReadOnly || p.Code == problem.SSHConfigRefused {
		severity = backends.Warning // nixvmd ssh works all the same
	}
	return api.Finding{Area: "ssh", Code: string(p.Code), Severity: severity, Message: p.Message, Fix: p.Hint}
}

// maxDoctorNames bounds how many machines ssh is asked about: lines for all hosts
// apply to the first as to the last.
const maxDoctorNames = 16

// doctorInherited names what the user's own configuration adds to the entries.
func (s *Service) doctorInherited(ctx context.Context) []api.Finding {
	var names []string
	for _, h := range s.hosts("") {
		names = append(names, h.Name)
	}
	all, err := s.ssh.Inherited(ctx, names[:min(len(names), maxDoctorNames)]...)
	if err != nil {
		return []api.Finding{sshFinding(problem.From(err))}
	}
	var list []api.Finding
	var seen []string
	for _, i := range all {
		if slices.Contains(seen, i.String()) {
			continue
		}
		seen = append(seen, i.String())
		f := api.Finding{
			Area: "ssh", Code: string(problem.SSHInherited), Severity: backends.Info,
			Message: "your own SSH configuration adds " + i.String() + " to " + i.Alias + ": " + i.Effect(),
			Fix:     "limit the line to the hosts that need it",
		}
		if i.Opens() {
			f.Severity = backends.Warning
		}
		list = append(list, f)
	}
	return list
}
