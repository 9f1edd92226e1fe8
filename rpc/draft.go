package rpc

import (
	"context"
	"reflect"
	"slices"
	"strings"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
	"github.com/nixvm/nixvm/vm"
)

func draftMethod() Method {
	return slow(api.MethodMachineCheck, "Check a request before it is sent, field by field, by the rules of the request itself, and return its defaults. "+
		"Sizes and ports are strings here, as typed. It changes nothing and refuses nothing: problems are part of the answer. A backend that has to be queried gets 3 seconds; what depends on it then has a note instead of a problem.",
		func(ctx context.Context, s *session, p api.DraftParams) (any, error) {
			return checkDraft(ctx, s.srv.core, p), nil
		}, result[api.DraftResult]())
}

// checkDraft takes the fields out whose form is wrong, and lets the core judge
// the others.
func checkDraft(ctx context.Context, core Core, p api.DraftParams) api.DraftResult {
	bad := map[string]error{}
	for _, field := range givenFields(&p) {
		if !slices.Contains(api.DraftFields(p.Request()), field) {
			bad[field] = problem.BadField(field, "is not a field of %s", p.Request())
			clearField(&p, field)
		}
	}
	draft, checks := draftOf(p)
	for _, c := range checks {
		if c.Err != nil && bad[c.Field] == nil {
			bad[c.Field] = c.Err
			clearField(&p, c.Field)
		}
	}
	if len(bad) > 0 {
		draft, _ = draftOf(p)
	}
	out := api.DraftResult{OK: true, Fields: map[string]api.DraftField{}}
	if p.Suggest != "" {
		out.Suggestion = names.Suggest(p.Suggest, func(name string) bool {
			_, err := core.Get(name)
			return err == nil
		})
	}
	for field, c := range core.CheckDraft(ctx, draft) {
		c.Value, c.Values, c.Choices = plainLine(c.Value), plainLines(c.Values), plainLines(c.Choices)
		setField(&out, field, c)
	}
	for field, err := range bad {
		setField(&out, field, api.DraftField{Choices: out.Fields[field].Choices, Problem: problem.From(err)})
	}
	for _, f := range out.Fields {
		out.OK = out.OK && f.OK
	}
	return out
}

// setField notes what became of a field; "" is the request as a whole.
func setField(r *api.DraftResult, field string, f api.DraftField) {
	f.OK, f.Problem = f.Problem == nil, problemOf(f.Problem)
	if field == "" {
		r.OK, r.Problem = false, f.Problem
		return
	}
	r.Fields[field] = f
}

// draftOf is the request, without what cannot be read, and the form of each field.
func draftOf(p api.DraftParams) (vm.Draft, []api.FieldCheck) {
	r := &reading{}
	memory, vcpus, disk := read(r, "memoryMiB", p.MemoryMiB, machine.ParseMemory), read(r, "vcpus", p.VCPUs, machine.ParseVCPUs), read(r, "diskBytes", p.DiskBytes, machine.ParseSize)
	tcp, udp := readAll(r, "tcpPorts", p.TCPPorts, machine.ParsePort), readAll(r, "udpPorts", p.UDPPorts, machine.ParsePort)
	name, network := strings.TrimSpace(p.Name), strings.TrimSpace(p.Network)
	switch p.Request() {
	case "clone":
		c := api.CloneParams{
			Name: name, NewName: strings.TrimSpace(p.NewName), Snapshot: p.Snapshot, MemoryMiB: memory, VCPUs: vcpus, DiskBytes: disk,
			Network: network, Profiles: p.Profiles, Mode: p.Mode,
		}
		return vm.Draft{Clone: &c}, r.and(c.Fields())
	case "configure":
		c := api.ConfigureParams{
			Name: name, Profiles: p.Profiles, MemoryMiB: memory, VCPUs: vcpus, DiskBytes: disk, Autostart: p.Autostart,
			TCPPorts: tcp, UDPPorts: udp, AllowedCIDRs: p.AllowedCIDRs, RemoteForwards: p.RemoteForwards, PCIDevices: p.PCIDevices,
		}
		if network != "" {
			c.Network = &network
		}
		c.Nameservers, c.Hosts, c.AddKeys, c.RemoveKeys = p.Nameservers, p.Hosts, p.AddKeys, p.RemoveKeys
		for _, one := range []struct {
			typed string
			field **string
		}{{p.StaticIP, &c.StaticIP}, {p.Gateway, &c.Gateway}, {p.RootPasswordHash, &c.RootPasswordHash}, {p.Mode, &c.Mode}} {
			if text := strings.TrimSpace(one.typed); text != "" {
				*one.field = &text
			}
		}
		if c.Gateway != nil && *c.Gateway == "none" { // an empty one would be unset here
			*c.Gateway = ""
		}
		return vm.Draft{Configure: &c}, r.and(c.Fields())
	case "image":
		b := api.ImageBuildParams{Image: strings.TrimSpace(p.Image), Profiles: p.Profiles, Mode: p.Mode}
		return vm.Draft{Build: &b}, r.and(b.Fields())
	case "snapshot":
		c := api.SnapshotCreateParams{Name: name, Snapshot: p.Snapshot}
		return vm.Draft{Snapshot: &vm.SnapshotDraft{Name: c.Name, Snapshot: c.Snapshot}}, r.and(c.Fields())
	case "forward":
		f := api.ForwardParams{Name: name, Forward: p.Forward}
		return vm.Draft{Forward: &vm.ForwardDraft{Name: f.Name, Forward: f.Forward}}, r.and(f.Fields())
	}
	c := api.CreateParams{
		Name: name, Profiles: p.Profiles, Image: strings.TrimSpace(p.Image), Mode: p.Mode, MemoryMiB: memory, VCPUs: vcpus, DiskBytes: disk,
		Autostart: p.Autostart, Network: network, Backend: p.Backend, AuthorizedKeys: p.AuthorizedKeys, AllowedCIDRs: p.AllowedCIDRs,
		TCPPorts: tcp, RemoteForwards: p.RemoteForwards, PCIDevices: p.PCIDevices,
	}
	return vm.Draft{Create: &c}, r.and(c.Fields())
}

// reading collects what cannot be read.
type reading struct{ checks []api.FieldCheck }

func (r *reading) and(more []api.FieldCheck) []api.FieldCheck { return append(r.checks, more...) }

// read gives what was typed; nil for nothing, and for what cannot be read.
func read[T any](r *reading, field, typed string, parse func(string) (T, error)) *T {
	if typed = strings.TrimSpace(typed); typed == "" {
		return nil
	}
	v, err := parse(typed)
	if err != nil {
		r.checks = append(r.checks, api.FieldCheck{Field: field, Err: err})
		return nil
	}
	return &v
}

func readAll[T any](r *reading, field string, typed []string, parse func(string) (T, error)) []T {
	var all []T
	for _, one := range typed {
		if v := read(r, field, one, parse); v != nil {
			all = append(all, *v)
		}
	}
	return all
}

// givenFields names the fields that the draft says.
func givenFields(p *api.DraftParams) []string {
	var names []string
	v := reflect.ValueOf(p).Elem()
	for i := range v.NumField() {
		if name := tagName(v.Type().Field(i)); name != "" && name != "for" && name != "suggest" && !v.Field(i).IsZero() {
			names = append(names, name)
		}
	}
	return names
}

// clearField takes a field out.
func clearField(p *api.DraftParams, field string) {
	v := reflect.ValueOf(p).Elem()
	for i := range v.NumField() {
		if tagName(v.Type().Field(i)) == field {
			v.Field(i).SetZero()
		}
	}
}

func tagName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}
