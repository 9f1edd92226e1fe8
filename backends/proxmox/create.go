package proxmox

import (
	"context"
	"strings"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/boot"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/backends/proxmox/pve"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
)

// Create clones the template of the image, linked, or in full for a mutable VM, and gives
// the clone the disks and the settings of the machine.
func (b *Backend) Create(ctx context.Context, spec backends.Spec, report progress.Reporter) (err error) {
	if spec.Image, err = boot.Loader(spec); err != nil {
		return err
	}
	return b.making(ctx, spec, "create", func(ctx context.Context, at site) error {
		return b.create(ctx, spec, at, "", report)
	})
}

// making holds the name of a VM that is to be made while it is made from the template of
// its image.
func (b *Backend) making(ctx context.Context, spec backends.Spec, verb string, build func(ctx context.Context, at site) error) error {
	if err := backends.CheckSpec(b, spec); err != nil {
		return err
	}
	ctx, done, err := b.begin(ctx, spec.Name)
	if err != nil {
		return err
	}
	defer done()
	s, err := b.scan(ctx)
	if err != nil {
		return err
	}
	b.observeScan(s, b.view.now())
	switch f, err := b.findIn(ctx, s, backends.Named(spec.Name)); {
	case err != nil:
		return err
	case f != nil:
		return refusal.Exists(spec.Name)
	}
	at, err := b.place(ctx, s, spec)
	if err == nil {
		err = build(ctx, at)
	}
	return b.failed(problem.Internal, verb+" "+spec.Name, err)
}

func noTemplate(image string) error {
	return problem.New(problem.ImageNotFound, "the cluster has no template of image %s", image).WithHint("it must be uploaded first")
}

// create clones the template. The state disk is a copy of volume, or a new one without it.
func (b *Backend) create(ctx context.Context, spec backends.Spec, at site, volume string, report progress.Reporter) error {
	r := b.recordOf(spec)
	if spec.Mutable && volume == "" {
		c, err := b.conf(ctx, at.template)
		if err != nil {
			return err
		}
		if err := refusal.TooSmall(spec.DiskBytes, parseSize(c.option("scsi0", "size"))); err != nil {
			return err
		}
	}
	e, upid, err := b.clone(ctx, at, r, spec.Name, spec.VMID)
	if err != nil {
		return err
	}
	report.Message("disk", "cloning the image")
	err = b.finish(ctx, upid, logTo(report, "disk"))
	if err == nil {
		err = b.furnish(ctx, e, spec, at.storage, r, volume)
	}
	return b.made(ctx, e, spec, upid, report, err)
}

// made ends the making of a VM: it is known from now on, or nothing is left of it.
func (b *Backend) made(ctx context.Context, e entry, spec backends.Spec, upid pve.UPID, report progress.Reporter, err error) error {
	if err == nil {
		report.Report(progress.Update{Vertex: "disk", Done: true})
		e.state, e.mark = "stopped", b.markOf(spec)
		b.observe(e, b.status(e), b.view.now())
		return nil
	}
	err = b.undo(ctx, e, upid, err)
	b.dropMedium(ctx, e.node, spec.UUID)
	return err
}

// clone makes a clone of a template, in full for a mutable VM, under a number; 0 = any that
// is free. Its task may still run.
func (b *Backend) clone(ctx context.Context, at site, r record, name string, vmid int) (entry, pve.UPID, error) {
	p := pve.Params{"name": name, "description": b.vmDescription(r), "pool": b.config.Pool, "full": "0"}
	if r.Mutable {
		p["full"], p["storage"], p["format"] = "1", at.storage.Storage, at.storage.format()
	}
	if at.node != at.template.node {
		p["target"] = at.node
	}
	var upid pve.UPID
	id, err := b.allocateAs(ctx, r.UUID, vmid, func(id int) (err error) {
		p["newid"] = itoa(id)
		// The task is one of the template. Two clones at once are told apart by the lock
		// of allocate, and by the UPIDs of the others.
		upid, err = b.api.Begin(ctx, at.template.task("POST", "qmclone", p, "clone"))
		return err
	})
	return entry{node: at.node, id: id, name: name}, upid, err
}

// furnish gives a clone what makes it the VM of a machine.
func (b *Backend) furnish(ctx context.Context, e entry, spec backends.Spec, storage storage, r record, volume string) error {
	if err := b.isolate(ctx, e, spec); err != nil {
		return err
	}
	if err := b.uploadMedium(ctx, e.node, spec); err != nil {
		return err
	}
	p, state := b.identity(spec, r, nil), stateDrive(spec.Mutable)
	switch {
	case volume != "":
		p[state] = b.disk(storage, "0,import-from="+volume, "discard=on", "iothread=1")
	case !spec.Mutable:
		p[state] = b.disk(storage, gib(spec.DiskBytes), "discard=on", "iothread=1")
	}
	if err := b.run(ctx, e.task("POST", "qmconfig", p, "config")); err != nil {
		return err
	}
	if volume != "" {
		if err := b.dropUnused(ctx, e); err != nil {
			return err
		}
	} else if !spec.Mutable {
		return nil
	}
	return b.resize(ctx, e, state, spec.DiskBytes)
}

// stateDrive is the drive of the disk that lasts.
func stateDrive(mutable bool) string {
	if mutable {
		return "scsi0"
	}
	return "scsi1"
}

// options are those that every start sets, too.
func (b *Backend) options(spec backends.Spec, r record) pve.Params {
	bridge := spec.Bridge
	if bridge == "" {
		bridge = b.config.Bridge
	}
	onboot := "0"
	if spec.Autostart {
		onboot = "1"
	}
	card := "virtio=" + strings.ToUpper(spec.MAC) + ",bridge=" + bridge
	if spec.Isolation != nil {
		card += ",firewall=1"
	}
	return pve.Params{
		"tags": b.markOf(spec).tags(), "description": b.vmDescription(r), "onboot": onboot,
		"memory": itoa(spec.MemoryMiB), "cores": itoa(spec.VCPUs), "net0": card,
	}
}

func (b *Backend) markOf(spec backends.Spec) mark {
	return mark{Owner: b.owner.ID, UUID: strings.ToLower(spec.UUID)}
}

func (b *Backend) recordOf(spec backends.Spec) record {
	r := record{
		Owner: b.owner.ID, UUID: strings.ToLower(spec.UUID), Name: spec.Name, Image: spec.Image.ID, Mutable: spec.Mutable,
		Medium: mediumSum(spec.Identity), MAC: spec.MAC,
	}
	if spec.StaticIP.IsValid() {
		r.Address = spec.StaticIP.Addr().String()
	}
	return r
}

// resize makes a disk of a VM larger. The size is absolute: a second time changes nothing.
func (b *Backend) resize(ctx context.Context, e entry, disk string, bytes int64) error {
	return b.run(ctx, e.task("PUT", "resize", pve.Params{"disk": disk, "size": kib(bytes)}, "resize"))
}
