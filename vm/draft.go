package vm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/resolvconf"
	"github.com/nixvm/nixvm/machine"
	"github.com/nixvm/nixvm/nixbuild"
)

// Draft is a request that has not been made. Exactly one of the pointers is set.
type Draft struct {
	Create    *api.CreateParams
	Clone     *api.CloneParams
	Configure *api.ConfigureParams
	Build     *api.ImageBuildParams
	Snapshot  *SnapshotDraft
	Forward   *ForwardDraft
}

// SnapshotDraft is what CreateSnapshot would be asked for.
type SnapshotDraft struct{ Name, Snapshot string }

// ForwardDraft is what AddForward would be asked for.
type ForwardDraft struct{ Name, Forward string }

// draftLimit bounds how long a backend may take to answer about a draft: someone is
// typing. The request itself waits longer.
const draftLimit = 3 * time.Second

// draftUnknown is the note of a field about which the backend did not answer in time.
const draftUnknown = "the backend does not answer; this is checked with the request"

// CheckDraft says of each field of a request what would become of it, by the
// rules by which the request itself would be refused. It changes nothing. The
// field "" has the problem of the request as a whole, if there is one.
func (s *Service) CheckDraft(ctx context.Context, d Draft) map[string]api.DraftField {
	ctx, cancel := context.WithTimeout(ctx, draftLimit)
	defer cancel()
	fields, wrong := map[string]api.DraftField{}, &fieldErrors{}
	switch {
	case d.Create != nil:
		var args createArgs
		args, wrong = s.judgeCreate(ctx, *d.Create)
		fields = s.createFields(*d.Create, args)
	case d.Clone != nil:
		fields, wrong = s.draftClone(ctx, *d.Clone)
	case d.Configure != nil:
		_, _, wrong = s.judgeConfigure(ctx, *d.Configure)
		fields = s.configureFields(*d.Configure)
	case d.Build != nil:
		var args buildArgs
		args, wrong = s.judgeBuild(*d.Build)
		s.imageFields(fields, api.CreateParams{Image: d.Build.Image, Mode: d.Build.Mode, Profiles: d.Build.Profiles}, args.Request, args.Fallback)
	case d.Snapshot != nil:
		_, wrong = s.judgeSnapshot(ctx, d.Snapshot.Name, d.Snapshot.Snapshot)
		fields = map[string]api.DraftField{fieldName: {Value: d.Snapshot.Name}, fieldSnapshot: {Value: d.Snapshot.Snapshot}}
	case d.Forward != nil:
		var f machine.RemoteForward
		f, wrong = s.judgeForward(d.Forward.Name, d.Forward.Forward)
		fields = map[string]api.DraftField{fieldName: {Value: d.Forward.Name}, fieldForward: {Value: f.String()}}
	}
	for _, e := range wrong.list {
		if errors.Is(e.err, context.DeadlineExceeded) && ctx.Err() != nil {
			f := fields[e.field]
			f.Note = draftUnknown
			fields[e.field] = f
			continue
		}
		fields[e.field] = api.DraftField{Problem: problem.From(e.err), Choices: fields[e.field].Choices}
	}
	for name, f := range fields {
		f.OK = f.Problem == nil
		fields[name] = f
	}
	return fields
}

// createFields shows what a create would take.
func (s *Service) createFields(req api.CreateParams, args createArgs) map[string]api.DraftField {
	d := args.Draft
	ports := d.TCPPorts
	if ports == nil {
		ports = []uint16{machine.DefaultTCPPort}
	}
	fields := map[string]api.DraftField{
		fieldName:   {Value: req.Name},
		fieldMemory: memoryField(d.MemoryMiB, req.MemoryMiB == nil),
		fieldVCPUs:  countField(d.VCPUs, req.VCPUs == nil),
		fieldDisk:   diskField(d.DiskBytes, req.DiskBytes == nil),
		fieldNetwork: {
			Value: networkOn(s.backends[args.Backend], d.Network).String(), Default: req.Network == "",
		},
		fieldAutostart:      {Value: strconv.FormatBool(d.Autostart), Default: req.Autostart == nil},
		fieldBackend:        {Value: args.Backend, Default: req.Backend == "", Choices: slices.Sorted(maps.Keys(s.backends))},
		fieldAuthorizedKeys: {Values: req.AuthorizedKeys, Default: len(req.AuthorizedKeys) == 0},
		fieldAllowedCIDRs:   {Values: texts(d.AllowedCIDRs), Default: len(req.AllowedCIDRs) == 0},
		fieldPCI:            {Values: d.PCIDevices, Default: len(req.PCIDevices) == 0},
		fieldTCPPorts:       {Values: texts(ports), Default: len(req.TCPPorts) == 0},
		fieldRemoteForwards: {Values: texts(d.RemoteForwards), Default: len(req.RemoteForwards) == 0},
	}
	s.imageFields(fields, req, imageRequest(args.Image, d.Mode, d.Profiles), args.Fallback)
	return fields
}

// imageFields shows which image would be taken, and what that kind can have.
func (s *Service) imageFields(fields map[string]api.DraftField, asked api.CreateParams, image nixbuild.Request, fallback bool) {
	all := s.images.Profiles()
	kinds := api.DraftField{Value: image.Kind, Default: asked.Image == ""}
	profiles := api.DraftField{Values: image.Profiles, Default: len(asked.Profiles) == 0}
	for _, p := range all {
		for _, kind := range p.Images {
			if !slices.Contains(kinds.Choices, kind) {
				kinds.Choices = append(kinds.Choices, kind)
			}
		}
		if p.Name != nixbuild.Core && slices.Contains(p.Images, image.Kind) {
			profiles.Choices = append(profiles.Choices, p.Name)
		}
	}
	slices.Sort(kinds.Choices)
	if fallback {
		kinds.Note = fallbackWarning
	}
	fields[fieldImage], fields[fieldProfiles] = kinds, profiles
	fields[fieldMode] = api.DraftField{Value: image.Mode, Default: asked.Mode == "", Choices: s.modesOf(image.Kind)}
}

// modesOf lists the modes that an image can have.
func (s *Service) modesOf(image string) []string {
	var modes []string
	for _, mode := range nixbuild.Modes() {
		var err error
		if isFile(image) {
			err = nixbuild.CheckSource(image, mode)
		} else {
			_, err = s.images.CheckRequest(nixbuild.Request{Kind: image, Mode: mode})
		}
		if !problem.HasCode(err, problem.ModeUnsupported) {
			modes = append(modes, mode)
		}
	}
	return modes
}

func memoryField(mib int, byDefault bool) api.DraftField {
	return api.DraftField{Value: machine.FormatSize(int64(mib) << 20), Number: int64(mib), Default: byDefault}
}

func diskField(bytes int64, byDefault bool) api.DraftField {
	return api.DraftField{Value: machine.FormatSize(bytes), Number: bytes, Default: byDefault}
}

func countField(n int, byDefault bool) api.DraftField {
	return api.DraftField{Value: strconv.Itoa(n), Number: int64(n), Default: byDefault}
}

// texts prints each item.
func texts[T any](list []T) []string {
	out := make([]string, 0, len(list))
	for _, item := range list {
		out = append(out, fmt.Sprint(item))
	}
	return out
}

// draftClone shows what a clone would take.
func (s *Service) draftClone(ctx context.Context, req api.CloneParams) (map[string]api.DraftField, *fieldErrors) {
	_, wrong := s.judgeClone(ctx, req)
	source, _ := s.Get(req.Name) // one that is not there has a problem already
	fields := map[string]api.DraftField{
		fieldName: {Value: req.Name}, fieldNewName: {Value: req.NewName},
		fieldMemory: memoryField(given(req.MemoryMiB, source.MemoryMiB), req.MemoryMiB == nil),
		fieldVCPUs:  countField(given(req.VCPUs, source.VCPUs), req.VCPUs == nil),
		fieldDisk:   diskField(given(req.DiskBytes, source.DiskBytes), req.DiskBytes == nil),
		fieldNetwork: {
			Value: cmp.Or(req.Network, source.Network), Default: req.Network == "",
		},
		fieldProfiles: listField(req.Profiles, source.Profiles),
		fieldMode:     {Value: cmp.Or(req.Mode, source.Mode), Default: req.Mode == "", Choices: s.modesOf(source.Image.Kind)},
	}
	snapshot := api.DraftField{Value: req.Snapshot, Default: req.Snapshot == ""}
	if b, err := s.backend(source.Backend); err == nil && source.Name != "" && backends.CapabilitiesOf(b).CloneSnapshot {
		if list, err := s.Snapshots(ctx, source.Name); err == nil {
			snapshot.Choices = snapshotNames(list)
		}
	}
	fields[fieldSnapshot] = snapshot
	return fields, wrong
}

// configureFields shows what a machine would have; what is not changed is as its
// files say.
func (s *Service) configureFields(req api.ConfigureParams) map[string]api.DraftField {
	m, err := s.machines.Read(req.Name)
	if err != nil {
		return map[string]api.DraftField{fieldName: {Value: req.Name}} // that it cannot be read is its problem
	}
	now, _ := s.Get(req.Name) // by now it may be gone
	network, err := machine.ParseNetwork(given(req.Network, m.Network.String()))
	if err != nil {
		network = m.Network
	}
	profiles := listField(req.Profiles, m.Profiles)
	for _, p := range s.images.Profiles() {
		if p.Name != nixbuild.Core && slices.Contains(p.Images, m.Image) {
			profiles.Choices = append(profiles.Choices, p.Name)
		}
	}
	return map[string]api.DraftField{
		fieldName:           {Value: req.Name},
		fieldProfiles:       profiles,
		fieldMode:           {Value: given(req.Mode, string(m.Mode)), Default: req.Mode == nil, Choices: s.modesOf(m.Image)},
		fieldMemory:         memoryField(given(req.MemoryMiB, m.MemoryMiB), req.MemoryMiB == nil),
		fieldVCPUs:          countField(given(req.VCPUs, m.VCPUs), req.VCPUs == nil),
		fieldDisk:           diskField(given(req.DiskBytes, m.DiskBytes), req.DiskBytes == nil),
		fieldAutostart:      {Value: strconv.FormatBool(given(req.Autostart, m.Autostart)), Default: req.Autostart == nil},
		fieldNetwork:        {Value: networkOn(s.backends[now.Backend], network).String(), Default: req.Network == nil},
		fieldTCPPorts:       listField(texts(req.TCPPorts), texts(m.TCPPorts)),
		fieldUDPPorts:       listField(texts(req.UDPPorts), texts(m.UDPPorts)),
		fieldAllowedCIDRs:   listField(req.AllowedCIDRs, texts(m.AllowedCIDRs)),
		fieldPCI:            listField(req.PCIDevices, m.PCIDevices),
		fieldRemoteForwards: listField(req.RemoteForwards, texts(m.RemoteForwards)),
		fieldStaticIP:       {Value: given(req.StaticIP, addressText(m)), Default: req.StaticIP == nil},
		fieldGateway:        {Value: given(req.Gateway, gatewayText(m)), Default: req.Gateway == nil},
		fieldNameservers:    listField(req.Nameservers, texts(resolvconf.Nameservers(m.ResolvConf))),
		fieldHosts:          listField(req.Hosts, strings.FieldsFunc(m.Hosts, func(r rune) bool { return r == '\n' })),
		fieldAddKeys:        listField(req.AddKeys, nil),
		fieldRemoveKeys:     s.removableKeys(m, req.RemoveKeys),
	}
}

// removableKeys are the keys that a machine authorizes, but for nixvm's own.
func (s *Service) removableKeys(m machine.Machine, said []string) api.DraftField {
	f := listField(said, nil)
	keys := machine.AddKeys(m.AdminKeys, m.UserKeys)
	if own, err := s.ssh.PublicKey(); err == nil {
		keys = machine.RemoveKeys(keys, own)
	}
	f.Choices = machine.KeyNames(keys)
	return f
}

// addressText is the guest's static address as it can be typed, or "dhcp".
func addressText(m machine.Machine) string {
	if m.StaticIP == nil {
		return "dhcp"
	}
	return m.StaticIP.Address.String()
}

func gatewayText(m machine.Machine) string {
	if m.StaticIP == nil || !m.StaticIP.Gateway.IsValid() {
		return ""
	}
	return m.StaticIP.Gateway.String()
}

// listField is what was said, or what there is.
func listField(said, there []string) api.DraftField {
	if len(said) > 0 {
		return api.DraftField{Values: said}
	}
	return api.DraftField{Values: there, Default: true}
}
