package vm

import (
	"context"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// Backends lists the configured backends, the default first.
func (s *Service) Backends() []api.Backend {
	list := make([]api.Backend, 0, len(s.backends))
	for name, b := range s.backends {
		list = append(list, api.Backend{
			Name: name, Type: b.Type(), Default: name == s.config.DefaultBackend, Capabilities: backends.CapabilitiesOf(b), Problem: s.inventory.Silent(name),
		})
	}
	slices.SortFunc(list, func(a, b api.Backend) int {
		if a.Default != b.Default {
			if a.Default {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
	Offer(list)
	return list
}

// CheckBackend asks a backend what is missing for it to work. One that could not
// be asked for its VMs is asked again.
func (s *Service) CheckBackend(ctx context.Context, name string) ([]backends.Finding, error) {
	b, err := s.backend(name)
	if err != nil {
		return nil, err
	}
	if s.inventory.Silent(b.Name()) != nil {
		s.inventory.Ask(ctx, b)
	}
	list := s.check(ctx, b)
	for i := range list {
		list[i].Area = b.Name()
	}
	return list, nil
}

// check is Check, and says so when that is not answered in time.
func (s *Service) check(ctx context.Context, b backends.Backend) []backends.Finding {
	list, err := ask(ctx, s, s.limits.check, "backend "+b.Name(), func(ctx context.Context) ([]backends.Finding, error) { return b.Check(ctx), nil })
	if err != nil {
		p := problem.From(err)
		list = append(list, backends.Finding{Code: string(p.Code), Severity: backends.Fatal, Message: p.Message, Fix: "check that its host is reachable, then try again"})
	}
	return list
}

// Doctor checks everything that a VM needs on this host, the worst first.
func (s *Service) Doctor(ctx context.Context) []api.Finding {
	var list []api.Finding
	for _, b := range s.Backends() {
		for _, f := range s.check(ctx, s.backends[b.Name]) {
			f.Area = "backend " + b.Name
			list = append(list, f)
		}
	}
	for _, p := range s.images.Missing() {
		list = append(list, api.Finding{Area: "images", Code: string(p.Code), Severity: backends.Warning, Message: p.Message, Fix: p.Hint})
	}
	for _, note := range s.images.Notes() {
		list = append(list, api.Finding{Area: "images", Code: "image.note", Severity: backends.Info, Message: note})
	}
	list = append(list, s.doctorSSH(ctx)...)
	list = append(list, s.doctorMachines()...)
	list = append(list, s.doctorPCI(ctx)...)
	list = append(list, s.doctorOperations()...)
	list = append(list, s.doctorDamaged()...)
	list = append(list, s.doctorFull()...)
	list = append(list, doctorSpace(s.layout, s.config.warnBelow(), unix.Statfs)...)
	list = append(list, s.doctorStorages(ctx)...)
	rank := map[backends.Severity]int{backends.Fatal: 0, backends.Warning: 1, backends.Info: 2}
	slices.SortStableFunc(list, func(a, b api.Finding) int { return rank[a.Severity] - rank[b.Severity] })
	return list
}

func (s *Service) doctorMachines() []api.Finding {
	var list []api.Finding
	for _, v := range s.List() {
		switch {
		case v.Problem != nil:
			list = append(list, api.Finding{Area: "machine " + v.Name, Code: string(v.Problem.Code), Severity: backends.Warning, Message: v.Problem.Message, Fix: v.Problem.Hint})
		case v.State == backends.Broken || v.State == backends.Crashed:
			fix := "nixvmd start " + v.Name
			if v.State == backends.Broken {
				fix = s.mendBroken(v)
			}
			list = append(list, api.Finding{Area: "machine " + v.Name, Code: "vm." + string(v.State), Severity: backends.Warning, Message: v.Name + " is " + string(v.State) + ": " + v.Reason, Fix: fix})
		}
	}
	return list
}

// mendBroken is what a person can do about a VM that is broken. To remove it comes
// last: what is in order may hold work.
func (s *Service) mendBroken(v VM) string {
	place := "look at what backend " + v.Backend + " has of it"
	if host, ok := backends.As[backends.FileHost](s.backends[v.Backend]); ok {
		place = "look into " + host.Directory(s.ref(v.Name))
	}
	return place + ", and bring back what is missing; if nothing of it is needed any more: nixvmd destroy " + v.Name + ", which prompts first"
}
