package rpc

import (
	"context"
	"reflect"
	"slices"
	"strings"

	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
	"github.com/nixvm/nixvm/vm"
)

// DraftParams is a request that is not made yet, as far as it has been typed.
// Absent and empty fields are not said.
type DraftParams struct {
	Tokens
	// For is the request that is meant: "create" (also when absent), "clone",
	// "configure", "image" (nixvm/image/build), "snapshot" or "forward" (nixvm/forward/add).
	For string `json:"for,omitempty"`
	// Name of the machine.
	Name string `json:"name,omitempty"`
	// NewName of the machine that clone makes.
	NewName string `json:"newName,omitempty"`
	// Profiles of the image.
	Profiles []string `json:"profiles,omitempty"`
	// Image is its kind, a file, or an URL with its checksum.
	Image string `json:"image,omitempty"`
	// Mode is "immutable", "semi-mutable" or "mutable".
	Mode string `json:"mode,omitempty"`
	// MemoryMiB as typed: "4G", "512M", or a bare number of MiB.
	MemoryMiB string `json:"memoryMiB,omitempty"`
	// VCPUs as typed.
	VCPUs string `json:"vcpus,omitempty"`
	// DiskBytes as typed: "20G"; a bare number means GiB.
	DiskBytes string `json:"diskBytes,omitempty"`
	// Autostart with the host of the backend.
	Autostart *bool `json:"autostart,omitempty"`
	// Network is "nat" or "bridge:<interface>".
	Network string `json:"network,omitempty"`
	// Backend is the name of a configured backend.
	Backend string `json:"backend,omitempty"`
	// AuthorizedKeys are SSH public keys.
	AuthorizedKeys []string `json:"authorizedKeys,omitempty"`
	// AllowedCIDRs are exceptions to the private-network block.
	AllowedCIDRs []string `json:"allowedCidrs,omitempty"`
	// TCPPorts as typed.
	TCPPorts []string `json:"tcpPorts,omitempty"`
	// UDPPorts as typed.
	UDPPorts []string `json:"udpPorts,omitempty"`
	// RemoteForwards, each as after RemoteForward in ssh_config(5).
	RemoteForwards []string `json:"remoteForwards,omitempty"`
	// Snapshot to clone, or the name of a new one.
	Snapshot string `json:"snapshot,omitempty"`
	// Forward as after RemoteForward in ssh_config(5).
	Forward string `json:"forward,omitempty"`
}

// draftFields are the fields of each kind of request.
var draftFields = map[string][]string{
	"create": {
		"name", "profiles", "image", "mode", "memoryMiB", "vcpus", "diskBytes", "autostart", "network", "backend",
		"authorizedKeys", "allowedCidrs", "tcpPorts", "remoteForwards",
	},
	"clone":     {"name", "newName", "snapshot", "memoryMiB", "vcpus", "diskBytes"},
	"configure": {"name", "profiles", "memoryMiB", "vcpus", "diskBytes", "autostart", "network", "tcpPorts", "udpPorts", "allowedCidrs", "remoteForwards"},
	"image":     {"image", "profiles", "mode"},
	"snapshot":  {"name", "snapshot"},
	"forward":   {"name", "forward"},
}

func (p DraftParams) kind() string {
	if p.For == "" {
		return "create"
	}
	return p.For
}

// Validate implements params. What is wrong with the draft itself is the answer.
func (p DraftParams) Validate() error {
	if draftFields[p.kind()] == nil {
		return badField("for", "%.40q is no request that can be checked", p.For).
			WithHint("write create, clone, configure, image, snapshot or forward")
	}
	return nil
}

// DraftField is what the daemon makes of one field.
type DraftField struct {
	// OK: the request would not be refused for this field.
	OK bool `json:"ok"`
	// Value that would be taken, in the words in which it can be typed again.
	// Absent for lists.
	Value string `json:"value,omitempty"`
	// Values of a list.
	Values []string `json:"values,omitempty"`
	// Number behind a size or count, in the unit of the request's parameter.
	Number int64 `json:"number,omitempty"`
	// Default: the draft does not say it. The value is that of the machine's
	// directory, of the source of a clone, or of config.toml.
	Default bool `json:"default,omitempty"`
	// Choices are all that the field can be (image, mode, backend, snapshot), or
	// that its list can have (profiles), with what the rest of the draft says.
	Choices []string `json:"choices,omitempty"`
	// Note is what there is to know of the value.
	Note string `json:"note,omitempty"`
	// Problem that the request would be refused with.
	Problem *problem.Error `json:"problem,omitempty"`
}

// DraftResult is what the daemon makes of a draft.
type DraftResult struct {
	// OK: nothing is wrong.
	OK bool `json:"ok"`
	// Fields by their names, also those that the draft does not say.
	Fields map[string]DraftField `json:"fields"`
	// Problem that has nothing to do with a field.
	Problem *problem.Error `json:"problem,omitempty"`
}

func draftMethod() Method {
	return slow(MethodMachineCheck, "Check a request that is not made yet, field by field, by the rules of the request itself, and say what its defaults come to. "+
		"Sizes and ports are texts here, as they were typed. It changes nothing, and nothing is refused: what is wrong is in the answer. A backend that has to be asked gets 15 seconds.",
		func(ctx context.Context, s *session, p DraftParams) (any, error) {
			return checkDraft(ctx, s.srv.core, p), nil
		}, result[DraftResult]())
}

// checkDraft takes the fields out whose form is wrong, and lets the core judge
// the others.
func checkDraft(ctx context.Context, core Core, p DraftParams) DraftResult {
	bad := map[string]error{}
	for _, field := range p.given() {
		if !slices.Contains(draftFields[p.kind()], field) {
			bad[field] = badField(field, "is not a field of %s", p.kind())
			p.clear(field)
		}
	}
	draft, checks := p.draft()
	for _, c := range checks {
		if c.err != nil && bad[c.field] == nil {
			bad[c.field] = c.err
			p.clear(c.field)
		}
	}
	if len(bad) > 0 {
		draft, _ = p.draft()
	}
	out := DraftResult{OK: true, Fields: map[string]DraftField{}}
	for field, c := range core.CheckDraft(ctx, draft) {
		out.set(field, DraftField{
			Value: plainLine(c.Value), Values: plainLines(c.Values), Number: c.Number, Default: c.Default, Choices: plainLines(c.Choices), Note: c.Note,
		}, c.Problem)
	}
	for field, err := range bad {
		out.set(field, DraftField{Choices: out.Fields[field].Choices}, problem.From(err))
	}
	for _, f := range out.Fields {
		out.OK = out.OK && f.OK
	}
	return out
}

// set notes what became of a field; "" is the request as a whole.
func (r *DraftResult) set(field string, f DraftField, p *problem.Error) {
	f.OK, f.Problem = p == nil, problemOf(p)
	if field == "" {
		r.OK, r.Problem = false, f.Problem
		return
	}
	r.Fields[field] = f
}

// draft is the request, without what cannot be read, and the form of each field.
func (p DraftParams) draft() (vm.Draft, []fieldCheck) {
	r := &reading{}
	memory, vcpus, disk := read(r, "memoryMiB", p.MemoryMiB, machine.ParseMemory), read(r, "vcpus", p.VCPUs, machine.ParseVCPUs), read(r, "diskBytes", p.DiskBytes, machine.ParseSize)
	tcp, udp := readAll(r, "tcpPorts", p.TCPPorts, machine.ParsePort), readAll(r, "udpPorts", p.UDPPorts, machine.ParsePort)
	name, network := strings.TrimSpace(p.Name), strings.TrimSpace(p.Network)
	switch p.kind() {
	case "clone":
		c := CloneParams{Name: name, NewName: strings.TrimSpace(p.NewName), Snapshot: p.Snapshot, MemoryMiB: memory, VCPUs: vcpus, DiskBytes: disk}
		return vm.Draft{Clone: new(c.request(""))}, r.and(c.fields())
	case "configure":
		c := ConfigureParams{
			Name: name, Profiles: p.Profiles, MemoryMiB: memory, VCPUs: vcpus, DiskBytes: disk, Autostart: p.Autostart,
			TCPPorts: tcp, UDPPorts: udp, AllowedCIDRs: p.AllowedCIDRs, RemoteForwards: p.RemoteForwards,
		}
		if network != "" {
			c.Network = &network
		}
		return vm.Draft{Configure: new(c.request())}, r.and(c.fields())
	case "image":
		b := ImageBuildParams{Image: strings.TrimSpace(p.Image), Profiles: p.Profiles, Mode: p.Mode}
		return vm.Draft{Build: new(b.request(""))}, r.and(b.fields())
	case "snapshot":
		c := SnapshotCreateParams{Name: name, Snapshot: p.Snapshot}
		return vm.Draft{Snapshot: &vm.SnapshotDraft{Name: c.Name, Snapshot: c.Snapshot}}, r.and(c.fields())
	case "forward":
		f := ForwardParams{Name: name, Forward: p.Forward}
		return vm.Draft{Forward: &vm.ForwardDraft{Name: f.Name, Forward: f.Forward}}, r.and(f.fields())
	}
	c := CreateParams{
		Name: name, Profiles: p.Profiles, Image: strings.TrimSpace(p.Image), Mode: p.Mode, MemoryMiB: memory, VCPUs: vcpus, DiskBytes: disk,
		Autostart: p.Autostart, Network: network, Backend: p.Backend, AuthorizedKeys: p.AuthorizedKeys, AllowedCIDRs: p.AllowedCIDRs,
		TCPPorts: tcp, RemoteForwards: p.RemoteForwards,
	}
	return vm.Draft{Create: new(c.request(""))}, r.and(c.fields())
}

// reading collects what cannot be read.
type reading struct{ checks []fieldCheck }

func (r *reading) and(more []fieldCheck) []fieldCheck { return append(r.checks, more...) }

// read gives what was typed; nil for nothing, and for what cannot be read.
func read[T any](r *reading, field, typed string, parse func(string) (T, error)) *T {
	if typed = strings.TrimSpace(typed); typed == "" {
		return nil
	}
	v, err := parse(typed)
	if err != nil {
		r.checks = append(r.checks, fieldCheck{field, err})
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

// given names the fields that the draft says.
func (p *DraftParams) given() []string {
	var names []string
	v := reflect.ValueOf(p).Elem()
	for i := range v.NumField() {
		if name := tagName(v.Type().Field(i)); name != "" && name != "for" && !v.Field(i).IsZero() {
			names = append(names, name)
		}
	}
	return names
}

// clear takes a field out.
func (p *DraftParams) clear(field string) {
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
