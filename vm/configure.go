package vm

import (
	"context"
	"errors"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
	"github.com/nixvm/nixvm/operation"
	"github.com/nixvm/nixvm/vm/inventory"
)

// Configure changes a declared machine. What the VM reads at boot (memory, CPUs) takes
// effect at its next start, Autostart at once. A larger disk, and what of the identity a
// running guest can take, are given to it by an operation that begins here.
func (s *Service) Configure(ctx context.Context, req api.ConfigureParams, client string) (v VM, err error) {
	if _, err := s.Get(req.Name); err != nil {
		return VM{}, err
	}
	edit := operation.Edit{Key: req.Name, What: "its settings are being changed"}
	err = s.engine.Edit(ctx, edit, func(ctx context.Context) (err error) {
		v, err = s.configure(ctx, req)
		return err
	})
	if err != nil {
		return VM{}, err
	}
	if s.begunToApply(ctx, req.Name, client) {
		return s.Get(req.Name)
	}
	return v, nil
}

// configure is Configure while nothing else changes the machine.
func (s *Service) configure(ctx context.Context, req api.ConfigureParams) (VM, error) {
	before, changes, wrong := s.judgeConfigure(ctx, req)
	if err := wrong.first(); err != nil {
		return VM{}, err
	}
	undo, err := s.setAutostart(ctx, before, req.Autostart)
	if err != nil {
		return VM{}, err
	}
	s.assumeIdentity(req.Name)
	if err := s.assumeMode(req); err != nil {
		return VM{}, errors.Join(err, undo())
	}
	if _, err := s.machines.Update(req.Name, changes); err != nil {
		return VM{}, problem.Disk(errors.Join(err, undo()))
	}
	s.inventory.Reload(req.Name)
	s.judgeAgain(ctx, req.Name)
	s.latest.again(0)
	if req.RemoteForwards != nil && s.recordOf(req.Name) != nil {
		if _, err := s.applySSH(ctx, req.Name, ""); err != nil {
			return VM{}, err
		}
	}
	return s.Get(req.Name)
}

// assumeMode notes the mode of a VM before its machine gets another one: records of
// earlier versions do not say it.
func (s *Service) assumeMode(req api.ConfigureParams) error {
	e, ok := s.inventory.Get(req.Name)
	if !ok || req.Mode == nil || e.Machine == nil || e.Record == nil || e.Record.Image.Mode != "" {
		return nil
	}
	mode := string(e.Machine.Mode)
	return s.inventory.UpdateRecord(req.Name, func(r *inventory.Record) { r.Image.Mode = mode })
}

// judgeConfigure finds everything that is wrong with the request. before is the
// machine as it is, without a name when there is none.
func (s *Service) judgeConfigure(ctx context.Context, req api.ConfigureParams) (before VM, changes machine.Changes, wrong *fieldErrors) {
	wrong = &fieldErrors{}
	before, err := s.Get(req.Name)
	if err != nil {
		wrong.add(fieldName, err)
		return VM{}, changes, wrong
	}
	changes = changesOf(req, wrong)
	m, err := s.machines.Read(req.Name)
	if err != nil {
		wrong.add(fieldName, err)
		return before, changes, wrong
	}
	networkChanges(m, req, &changes, wrong)
	s.keyChanges(m, req, &changes, wrong)
	s.checkProfiles(m, req, wrong)
	if changes.Mode != nil {
		wrong.add(fieldMode, s.checkMode(m, *changes.Mode))
	}
	if b, err := s.backend(before.Backend); err == nil {
		if changes.Network != nil && !wrong.has(fieldNetwork) {
			wrong.add(fieldNetwork, checkBridge(ctx, b, networkOn(b, *changes.Network)))
		}
		if !wrong.has(fieldStaticIP) && !wrong.has(fieldGateway) {
			wrong.add(fieldStaticIP, checkAddress(ctx, b, m, changes))
		}
		if req.Autostart != nil {
			wrong.add(fieldAutostart, checkAutostart(b, *req.Autostart))
		}
		var asked [2]int
		for i, n := range []*int{req.VCPUs, req.MemoryMiB} {
			if n != nil {
				asked[i] = *n
			}
		}
		checkResources(ctx, b, asked[0], asked[1], wrong)
		wrong.add(fieldPCI, s.checkPCIChange(ctx, b, m, req))
		wrong.add(fieldProfiles, s.checkPCIProfiles(b, req.Profiles))
	}
	if req.RootPasswordHash != nil {
		wrong.add(fieldRootPassword, s.checkPassword(req.Name))
	}
	settings, err := s.machines.CheckUpdate(req.Name, changes)
	wrong.add(fieldName, err)
	wrong.addSettings(settings)
	return before, changes, wrong
}

// checkPassword refuses another password of root for a guest that owns it: that of a
// mutable machine, once it has a VM.
func (s *Service) checkPassword(name string) error {
	e, ok := s.inventory.Get(name)
	if !ok || e.Machine == nil || e.Record == nil || e.Record.ModeOf(*e.Machine) != machine.Mutable {
		return nil
	}
	return problem.New(problem.Unsupported, "%s is mutable: its guest owns the password of root", name).
		WithHint("change it inside the VM: ssh -t %s sudo passwd root. It persists across reboots, but not in the machine directory, which a recreated VM is made from",
			s.ssh.Aliases(name).Admin)
}

// checkProfiles refuses profiles that the machine's kind of image does not have.
// What is missing to build that image is for the request that builds it.
func (s *Service) checkProfiles(m machine.Machine, req api.ConfigureParams, wrong *fieldErrors) {
	if req.Profiles == nil || isFile(m.Image) {
		return
	}
	_, err := s.images.CheckRequest(imageRequest(m.Image, m.Mode, req.Profiles))
	if problem.HasCode(err, problem.ProfileUnknown) || problem.HasCode(err, problem.ProfileConflict) {
		wrong.add(fieldProfiles, err)
	}
}

func changesOf(req api.ConfigureParams, wrong *fieldErrors) machine.Changes {
	c := machine.Changes{MemoryMiB: req.MemoryMiB, VCPUs: req.VCPUs, DiskBytes: req.DiskBytes, Autostart: req.Autostart, RootPassword: req.RootPasswordHash}
	if req.Profiles != nil {
		c.Profiles = &req.Profiles
	}
	if req.Mode != nil {
		mode, err := parseMode(*req.Mode)
		wrong.add(fieldMode, err)
		if err == nil {
			c.Mode = &mode
		}
	}
	if req.TCPPorts != nil {
		c.TCPPorts = &req.TCPPorts
	}
	if req.UDPPorts != nil {
		c.UDPPorts = &req.UDPPorts
	}
	if req.Network != nil {
		if n, err := machine.ParseNetwork(*req.Network); err != nil {
			wrong.add(fieldNetwork, err)
		} else {
			c.Network = &n
		}
	}
	if req.AllowedCIDRs != nil {
		list, err := parsePrefixes(req.AllowedCIDRs)
		wrong.add(fieldAllowedCIDRs, err)
		c.AllowedCIDRs = &list
	}
	if req.PCIDevices != nil {
		c.PCIDevices = &req.PCIDevices
	}
	if req.RemoteForwards != nil {
		list, err := parseForwards(req.RemoteForwards)
		wrong.add(fieldRemoteForwards, err)
		c.RemoteForwards = &list
	}
	return c
}
