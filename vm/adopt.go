package vm

import (
	"cmp"
	"context"
	"fmt"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/statedisk"
	"github.com/nixvm/nixvm/internal/checkout"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
	"github.com/nixvm/nixvm/nixbuild"
	"github.com/nixvm/nixvm/operation"
	"github.com/nixvm/nixvm/vm/inventory"
)

// Adoptable lists the machines of a directory of nixos-vm-template. It changes nothing.
func (s *Service) Adoptable(ctx context.Context, req api.AdoptListParams) (api.AdoptListResult, error) {
	r := api.AdoptListResult{Directory: req.Directory}
	c, err := openCheckout(req.Directory)
	if err != nil {
		return r, err
	}
	r.Config = c.Config()
	for _, m := range c.Machines {
		if err := ctx.Err(); err != nil {
			return r, err
		}
		r.Machines = append(r.Machines, s.adoptable(m))
	}
	return r, nil
}

func (s *Service) adoptable(found checkout.Machine) api.Adoptable {
	a := api.Adoptable{ID: found.ID, Name: found.Name, Directory: found.Dir, Disk: found.Disk}
	m, _, err := readTemplate(found, found.Name)
	if err == nil || m.Name != "" {
		a.Profiles, a.Mode = m.Profiles, string(m.Mode)
	}
	if have, readErr := s.machines.Read(found.Name); readErr == nil && m.UUID != "" && have.UUID == m.UUID {
		a.Adopted = true
		return a
	}
	if err == nil {
		err = found.CheckName()
	}
	if err == nil {
		var disk *statedisk.Disk
		if disk, err = statedisk.Open(found.Disk); err == nil {
			a.DiskBytes, a.Snapshots = disk.Size, disk.Snapshots
			err = disk.Close()
		}
	}
	if err != nil {
		a.Problem = problem.From(err)
	}
	return a
}

// Adopt takes over a machine of nixos-vm-template: it makes a machine with its settings
// and its identity, and a VM with a copy of its state disk. What it was taken from
// stays as it is.
func (s *Service) Adopt(ctx context.Context, req api.AdoptParams) (api.Operation, error) {
	c, err := openCheckout(req.Directory)
	if err != nil {
		return api.Operation{}, err
	}
	found, err := c.Find(req.ID)
	if err != nil {
		return api.Operation{}, err
	}
	name := cmp.Or(req.Name, found.Name)
	if found.Name = name; found.CheckName() != nil {
		return api.Operation{}, problem.From(found.CheckName()).WithHint("take it over under another name: --as NAME")
	}
	op := api.Operation{Kind: api.KindImport, Machine: name, Client: req.Client}
	return operation.Begin(ctx, s.engine, op, func(ctx context.Context) (importArgs, error) {
		args, wrong := s.judgeAdopt(ctx, name, req)
		return args, wrong.first()
	})
}

// judgeAdopt finds everything that is wrong with the request, and what the plan needs.
func (s *Service) judgeAdopt(ctx context.Context, name string, req api.AdoptParams) (importArgs, *fieldErrors) {
	wrong := &fieldErrors{}
	args := importArgs{
		Template: &template{Dir: req.Directory, ID: req.ID}, Declare: true, Start: !req.NoStart, Instance: newInstance(),
		Backend: cmp.Or(req.Backend, s.config.DefaultBackend), Image: inventory.Image{Kind: cmp.Or(req.Image, machine.ImageNixOS)},
	}
	files, disk, err := args.Template.open()
	if err != nil {
		wrong.add(fieldName, err)
		return args, wrong
	}
	defer disk.Close()
	args.Template.Digest, err = fileDigest(files)
	wrong.add(fieldNone, err)
	m, err := s.machines.CheckUnarchive(files, name, args.changes())
	if err != nil {
		wrong.add(fieldName, err)
		return args, wrong
	}
	args.Mode, args.Profiles, args.Disk = m.Mode, m.Profiles, growTo(m.DiskBytes, disk.Size)
	args.Warnings = append(args.Warnings, "the disk is copied: the old VM stays as it is, and has the same identity; do not run both")
	if disk.Snapshots > 0 {
		args.Warnings = append(args.Warnings, fmt.Sprintf("the %d snapshots stay in the old disk", disk.Snapshots))
	}
	b, err := s.backend(args.Backend)
	wrong.add(fieldBackend, err)
	if b != nil {
		_, err := backends.Require[backends.Importer](b, importsDisks)
		wrong.add(fieldBackend, err)
		wrong.add(fieldNetwork, checkBridge(ctx, b, networkOn(b, m.Network)))
		checkResources(ctx, b, m.VCPUs, m.MemoryMiB, wrong)
		field, err := checkPlace(ctx, b, name)
		wrong.add(field, err)
	}
	s.checkImage(nixbuild.Request{Kind: args.Image.Kind, Mode: string(m.Mode), Profiles: m.Profiles}, wrong)
	wrong.add(fieldName, s.checkSSHName(ctx, name, ""))
	return args, wrong
}
