package proxmox

import (
	"context"
	"strings"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/boot"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/backends/internal/snapshots"
	"github.com/nixvm/nixvm/backends/proxmox/pve"
	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
)

// ClonesSnapshots holds.
func (b *Backend) ClonesSnapshots() bool { return true }

// Clone has the server copy a VM, or a snapshot of it, in full. The boot disk of the copy is
// replaced at its first start.
func (b *Backend) Clone(ctx context.Context, from backends.Source, spec backends.Spec, report progress.Reporter) error {
	if err := names.Machine(from.VM.Name); err != nil {
		return err
	}
	if err := backends.CheckSpec(b, spec); err != nil {
		return err
	}
	if _, err := boot.Loader(spec); err != nil {
		return err
	}
	ctx, done, err := b.begin(ctx, spec.Name)
	if err != nil {
		return err
	}
	defer done()
	source, c, err := b.source(ctx, from, spec)
	if err != nil {
		return err
	}
	switch f, err := b.find(ctx, backends.Named(spec.Name)); {
	case err != nil:
		return err
	case f != nil:
		return refusal.Exists(spec.Name)
	}
	return b.failed(problem.Internal, "clone "+from.VM.Name, b.copyVM(ctx, source, c, from.Snapshot, spec, report))
}

// source finds what is to be cloned, with its configuration, and refuses what cannot be.
func (b *Backend) source(ctx context.Context, from backends.Source, spec backends.Spec) (*found, conf, error) {
	f, err := b.need(ctx, from.VM)
	switch {
	case err != nil:
		return nil, nil, err
	case up(f.status) && from.Snapshot == "":
		return nil, nil, refusal.Running(from.VM.Name, "it is cloned")
	case !up(f.status) && f.status.State != backends.Stopped:
		return nil, nil, problem.New(problem.VMNotFound, "VM %s is half made", from.VM.Name).WithHint("destroy it")
	}
	c, err := b.conf(ctx, f.entry)
	if err != nil {
		return nil, nil, b.problem(err)
	}
	disk := stateDrive(spec.Mutable)
	if readRecord(c["description"]).Mutable != spec.Mutable {
		return nil, nil, refusal.OtherMode(from.VM.Name, "a clone has the mode of its source")
	}
	if from.Snapshot != "" {
		list, err := b.listSnapshots(ctx, f.entry)
		if err != nil {
			return nil, nil, err
		}
		if _, err := snapshots.Find(list, snapshot.name, from.VM.Name, from.Snapshot); err != nil {
			return nil, nil, err
		}
	}
	return f, c, backends.CheckCopySize(from.VM.Name, parseSize(c.option(disk, "size")), spec.DiskBytes)
}

// copyVM makes the copy, and gives it the settings of spec.
func (b *Backend) copyVM(ctx context.Context, source *found, c conf, snap string, spec backends.Spec, report progress.Reporter) error {
	storage, err := b.diskStorage(ctx, source.node)
	if err != nil {
		return err
	}
	r, was := b.recordOf(spec), readRecord(c["description"])
	r.Image, r.Booted = was.Image, true
	p := pve.Params{
		"name": spec.Name, "description": b.vmDescription(r), "pool": b.config.Pool,
		"full": "1", "storage": storage.Storage, "format": storage.format(),
	}
	if snap != "" {
		p["snapname"] = serverName(snap)
	}
	var upid pve.UPID
	id, err := b.allocateAs(ctx, spec.UUID, spec.VMID, func(id int) (err error) {
		p["newid"] = itoa(id)
		upid, err = b.api.Begin(ctx, source.task("POST", "qmclone", p, "clone"))
		return err
	})
	if err != nil {
		return err
	}
	e := entry{node: source.node, id: id, name: spec.Name}
	report.Message("disk", "copying the disks")
	err = b.finish(ctx, upid, logTo(report, "disk"))
	if err == nil {
		err = b.refurnish(ctx, e, spec, r, c)
	}
	return b.made(ctx, e, spec, upid, report, err)
}

// refurnish makes a copy of a VM, with the configuration c, the VM of another machine.
func (b *Backend) refurnish(ctx context.Context, e entry, spec backends.Spec, r record, c conf) error {
	if err := b.isolate(ctx, e, spec); err != nil {
		return err
	}
	if err := b.uploadMedium(ctx, e.node, spec); err != nil {
		return err
	}
	if err := b.put(ctx, e, b.identity(spec, r, c)); err != nil {
		return err
	}
	disk := stateDrive(spec.Mutable)
	return b.resize(ctx, e, disk, spec.DiskBytes)
}

// identity are the options that tell the VM of one machine from that of another, for a VM
// whose configuration is c.
func (b *Backend) identity(spec backends.Spec, r record, c conf) pve.Params {
	p := b.options(spec, r)
	p["smbios1"] = "uuid=" + strings.ToLower(spec.UUID)
	b.insertMedium(p, c, b.mediumVolume(spec.UUID))
	insertDevices(p, c, spec.PCIDevices)
	return p
}
