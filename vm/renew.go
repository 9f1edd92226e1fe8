package vm

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
	"github.com/nixvm/nixvm/nixbuild"
	"github.com/nixvm/nixvm/operation"
	"github.com/nixvm/nixvm/vm/inventory"
)

// settingsOf gives identity files the names of their settings, in the order of the
// files. Both files of keys are one setting.
func settingsOf(files []string) []string {
	var names []string
	for _, file := range files {
		if name := identitySettings[file]; name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// nextStart names the settings that a running VM takes over at its next start.
func nextStart(e *inventory.Entry) []string {
	list := settingsOf(e.NextStart())
	has, ok := e.Resources()
	if !ok {
		return list
	}
	want := inventory.ResourcesOf(*e.Machine)
	for _, each := range []struct {
		setting string
		differs bool
	}{
		{fieldMemory, has.MemoryMiB != want.MemoryMiB},
		{fieldVCPUs, has.VCPUs != want.VCPUs},
		{fieldDisk, has.DiskBytes != want.DiskBytes || e.Record.DiskAtBoot},
		{fieldNetwork, has.Network != want.Network},
		{fieldPCI, has.PCIDevices != want.PCIDevices},
	} {
		if each.differs {
			list = append(list, each.setting)
		}
	}
	return list
}

var identitySettings = map[string]string{
	machine.TCPPortsFile: fieldTCPPorts, machine.UDPPortsFile: fieldUDPPorts, machine.AllowedCIDRsFile: fieldAllowedCIDRs,
	machine.AdminKeysFile: fieldAuthorizedKeys, machine.UserKeysFile: fieldAuthorizedKeys, machine.HostsFile: "hosts",
	machine.ResolvConfFile: "resolvConf", machine.RootPasswordFile: "rootPassword", machine.StaticIPFile: "staticIp",
	machine.CACertFile: "caCert", machine.HostnameFile: "hostname", machine.MachineIDFile: "machineId", machine.HostKeyFile: "hostKey",
}

// assumeIdentity notes, before the first change, what a VM has that an earlier version
// has started: most likely what its machine says.
func (s *Service) assumeIdentity(name string) {
	e, ok := s.inventory.Get(name)
	if !ok || e.Record == nil || e.Record.Identity != nil || e.Identity == nil || !inventory.Alive(e.Status.State) {
		return
	}
	if err := s.inventory.UpdateRecord(name, func(now *inventory.Record) { now.Identity = e.Identity }); err != nil {
		s.log.Warn("cannot record the settings of a running guest", "machine", name, "error", err)
	}
}

// identityInForce notes that a guest has rebooted by itself: it has read its medium
// again, and all of it is in force. It also uses all of its disk.
func (s *Service) identityInForce(name string) {
	r := s.recordOf(name)
	if r == nil || len(r.AtBoot) == 0 && !r.DiskAtBoot {
		return
	}
	if err := s.inventory.UpdateRecord(name, func(now *inventory.Record) { now.AtBoot, now.DiskAtBoot = nil, false }); err != nil {
		s.log.Warn("cannot record that a guest has applied its settings", "machine", name, "error", err)
	}
}

// begunToApply begins the operation that gives a running guest what has changed of its
// identity, and a larger disk, and reports whether it has. A guest that takes nothing
// while it runs, or is busy, gets it at its next start.
func (s *Service) begunToApply(ctx context.Context, name, client string) bool {
	if !s.canApply(name) && !s.canGrow(name) {
		return false
	}
	op := api.Operation{Kind: api.KindApply, Machine: name, Client: client}
	_, err := operation.Begin(ctx, s.engine, op, func(context.Context) (noArgs, error) { return noArgs{}, nil })
	if err != nil {
		s.log.Info("the running guest has not received its new settings", "machine", name, "error", err)
	}
	return err == nil
}

// canApply reports whether a guest runs that can take another identity, and does not
// have it on its medium.
func (s *Service) canApply(name string) bool {
	e, ok := s.inventory.Get(name)
	if !ok || e.Status.State != backends.Running || e.Machine == nil || e.Record == nil || e.Record.ModeOf(*e.Machine) == machine.Mutable ||
		e.Record.Identity == nil || maps.Equal(e.Record.Identity, e.Identity) {
		return false
	}
	b, err := s.backend(e.Record.Backend)
	if err != nil {
		return false
	}
	img, err := s.images.Get(e.Record.Image.ID)
	_, can := backends.As[backends.IdentityRenewer](b)
	return err == nil && can && img.Contract >= nixbuild.LiveIdentityContract
}

// planApply gives the identity, and a larger disk, to the running guest. It is done again
// after a crash; of an identity, the backend takes back what fails or is cancelled. One of
// them does not depend on the other.
func (s *Service) planApply(name string, _ noArgs) operation.Plan {
	return operation.Plan{CancelUndoes: true, Steps: []operation.Step{{
		Name: "apply", Title: "applying the settings to the running guest",
		Do: func(ctx context.Context, r *operation.Run) (err error) {
			grow := s.canGrow(name) || s.halfGrown(r, name)
			if !grow || s.canApply(name) {
				err = s.applyIdentity(ctx, r, name)
			}
			if grow && ctx.Err() == nil {
				err = errors.Join(err, s.growDisk(ctx, r, name))
			}
			return err
		},
	}}}
}

func (s *Service) applyIdentity(ctx context.Context, r *operation.Run, name string) error {
	m, b, err := s.realised(name)
	if err != nil {
		return err
	}
	renewer, err := backends.Require[backends.IdentityRenewer](b, "apply settings to running guests")
	if err != nil {
		return err
	}
	now := s.recordOf(name)
	next := *now
	img, err := s.images.Get(now.Image.ID)
	if err != nil {
		return s.imageMissing(m, now, err)
	}
	next.Digest = "" // one more generation in any case: what was given before may have been taken back
	spec, err := s.specFor(m, &next, img)
	if err != nil {
		return err
	}
	// The number is used up in any case: the guest has seen it.
	err = s.inventory.UpdateRecord(name, func(r *inventory.Record) { r.Generation, r.Digest = next.Generation, "" })
	if err != nil {
		return problem.Disk(err)
	}
	digests := machine.FileDigests(m)
	wall, err := changeWall(ctx, b, *now, digests, spec)
	if err != nil {
		return err
	}
	pending, err := renewer.RenewIdentity(ctx, s.ref(name), backends.Identity{Medium: spec.Identity, Generation: next.Generation})
	if err != nil {
		return errors.Join(err, wall.restore(ctx))
	}
	now.AtBoot = slices.DeleteFunc(slices.Clone(now.AtBoot), func(file string) bool { return slices.Contains(wall.changed, file) })
	late := atBoot(*now, digests, append(pending, wall.late...))
	err = s.inventory.UpdateRecord(name, func(r *inventory.Record) { r.Digest, r.Identity, r.AtBoot = next.Digest, digests, late })
	if err != nil { // the guest has them all the same
		s.log.Warn("cannot record the settings of a running guest", "machine", name, "error", err)
		r.Warn("the guest has its new settings, but that could not be recorded: they are shown as pending until its next start: " + err.Error())
	}
	if names := settingsOf(late); len(names) > 0 {
		r.Warn(strings.Join(names, ", ") + ": effective at the next start only")
	}
	return nil
}

// atBoot are the files that a guest has on its medium and does not have in force: those
// that it still had not before, and those of late that have changed.
func atBoot(before inventory.Record, now map[string]string, late []string) []string {
	files := slices.Clone(before.AtBoot)
	for _, file := range late {
		if _, known := now[file]; known && before.Identity[file] != now[file] && !slices.Contains(files, file) {
			files = append(files, file)
		}
	}
	slices.Sort(files)
	return files
}

// wall is what became of the rules that the host enforces for a VM itself: what the
// guest alone allows does not help.
type wall struct {
	changed []string // identity files whose rules are in force at the host
	late    []string // those that wait for the next start
	undo    func(context.Context) error
}

// wallLimit bounds putting the former rules into force again.
const wallLimit = 30 * time.Second

// restore puts the former rules into force again.
func (w wall) restore(ctx context.Context) error {
	if w.undo == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), wallLimit)
	defer cancel()
	return w.undo(ctx)
}

// changeWall puts the rules of the host into force before the guest has its own: what
// is no longer allowed ends at once, independent of the guest.
func changeWall(ctx context.Context, b backends.Backend, before inventory.Record, now map[string]string, spec backends.Spec) (wall, error) {
	host, ok := backends.As[backends.HostFirewall](b)
	if spec.Isolation == nil || !ok || !host.Isolates(spec.Bridge) {
		return wall{}, nil
	}
	files := []string{machine.AllowedCIDRsFile, machine.ResolvConfFile}
	if f, ok := backends.As[backends.PortFirewall](b); ok && f.FiltersPorts(spec.Bridge) {
		files = append(files, machine.TCPPortsFile, machine.UDPPortsFile)
	}
	if !slices.ContainsFunc(files, func(file string) bool {
		return before.Identity[file] != now[file] || slices.Contains(before.AtBoot, file)
	}) {
		return wall{}, nil
	}
	live, ok := backends.As[backends.LiveFirewall](b)
	if !ok {
		return wall{late: files}, nil
	}
	undo, err := live.ChangeIsolation(ctx, spec)
	if problem.HasCode(err, problem.Unsupported) {
		return wall{late: files}, nil
	}
	if errors.Is(err, backends.ErrEstablished) { // what was allowed before may still go on
		return wall{late: files, undo: undo}, nil
	}
	return wall{changed: files, undo: undo}, err
}
