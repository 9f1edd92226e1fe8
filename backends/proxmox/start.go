package proxmox

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/boot"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/backends/proxmox/pve"
	"github.com/nixvm/nixvm/internal/problem"
)

// Start brings the VM into the form of spec, gives an immutable one a new boot disk, and
// starts it.
func (b *Backend) Start(ctx context.Context, spec backends.Spec) (err error) {
	if err := backends.CheckSpec(b, spec); err != nil {
		return err
	}
	ctx, done, err := b.begin(ctx, spec.Name)
	if err != nil {
		return err
	}
	defer done()
	f, err := b.need(ctx, spec.Ref())
	switch {
	case err != nil:
		return err
	case f.status.State == backends.Broken:
		return problem.New(problem.VMStartFailed, "VM %s is half made", spec.Name).WithHint("destroy it and create it again")
	case f.status.State == backends.Running || f.status.State == backends.Suspended:
		return nil
	}
	if spec.Image.NoBootLoader { // the file of the image is not needed: the cluster has its template
		_, err = boot.Loader(spec)
		return err
	}
	if err := b.prepare(ctx, f.entry, spec); err != nil {
		return b.failed(problem.VMStartFailed, "start "+spec.Name, err)
	}
	managed, err := b.managed(ctx, f.entry)
	if err == nil {
		err = b.runOrStop(ctx, f.power(managed, "qmstart", "hastart", nil, "status", "start"))
	}
	if err == nil && managed {
		_, err = b.await(ctx, spec.Ref(), haPatience, isUp)
	}
	if err != nil && !strings.Contains(err.Error(), "already running") {
		return b.failed(problem.VMStartFailed, "start "+spec.Name, err)
	}
	return b.started(ctx, spec.Ref())
}

// started takes note of a VM that has been started.
func (b *Backend) started(ctx context.Context, ref backends.Ref) error {
	asked := b.view.now()
	f, err := b.find(ctx, ref)
	if err != nil {
		return err
	}
	if f == nil || f.status.State != backends.Running {
		return problem.New(problem.VMStartFailed, "VM %s has ended at once", ref.Name).WithHint("its console, or the task log in the web interface, says why")
	}
	f.status.Started = b.recordedStart(ctx, f)
	b.observe(f.entry, f.status, asked)
	return nil
}

// prepare changes what differs from spec.
func (b *Backend) prepare(ctx context.Context, e entry, spec backends.Spec) error {
	c, err := b.conf(ctx, e)
	if err != nil {
		return err
	}
	was := readRecord(c["description"])
	if was.Mutable != spec.Mutable {
		return refusal.OtherMode(spec.Name, "destroy it and create it again, or set the mode back")
	}
	disk, size, err := stateDisk(e, c, spec.Mutable)
	if err == nil {
		err = refusal.Shrunk(size, spec.DiskBytes)
	}
	if err != nil {
		return err
	}
	r := b.recordOf(spec)
	if spec.Mutable {
		r.Image = was.Image
	} else if was.Booted || was.Image != spec.Image.ID || c["scsi0"] == "" {
		if err := b.renewBootDisk(ctx, e, c, spec); err != nil {
			return err
		}
	}
	if err := b.renewFirmware(ctx, e, c); err != nil {
		return err
	}
	medium := b.mediumIn(c, spec.UUID)
	if was.Medium != r.Medium {
		medium = b.mediumVolume(spec.UUID)
		if err := b.uploadMedium(ctx, e.node, spec); err != nil {
			return err
		}
	}
	if err := b.isolate(ctx, e, spec); err != nil {
		return err
	}
	r.Booted, r.Started = true, time.Now().Truncate(time.Second)
	p := b.options(spec, r)
	b.insertMedium(p, c, medium)
	insertDevices(p, c, spec.PCIDevices)
	if err := b.put(ctx, e, p); err != nil {
		return err
	}
	if medium != b.mediumIn(c, spec.UUID) {
		b.dropISO(ctx, e.node, b.otherMedium(medium, spec.UUID))
	}
	if spec.DiskBytes > size {
		if err := b.resize(ctx, e, disk, spec.DiskBytes); err != nil {
			return err
		}
	}
	return b.isolated(ctx, e, c, spec)
}

// renewBootDisk puts a new linked clone of the image in the place of the boot disk of a VM
// that is off. The clone is made as a VM of its own, whose disk is then given to this one:
// Proxmox VE has no other thin copy of a disk. After a crash at any point it can be done
// again: a VM without a boot disk gets one, and spare VMs are removed.
func (b *Backend) renewBootDisk(ctx context.Context, e entry, c conf, spec backends.Spec) error {
	s, err := b.scan(ctx)
	if err != nil {
		return err
	}
	storage, err := b.diskStorage(ctx, e.node)
	if err != nil {
		return err
	}
	template, err := b.templateOf(ctx, s, spec.Image, e.node, storage.Shared != 0)
	if err != nil {
		return err
	}
	if err := b.dropSpares(ctx, s, spec.Name); err != nil {
		return err
	}
	r := record{Owner: b.owner.ID, Name: spec.Name, Image: spec.Image.ID, Spare: true}
	spare, upid, err := b.clone(ctx, site{template, e.node, storage}, r, "nixvm-boot-"+itoa(e.id), 0)
	if err != nil {
		return err
	}
	err = b.finish(ctx, upid, nil)
	if err == nil {
		err = b.swapBootDisk(ctx, e, c, spare)
	}
	return b.undo(ctx, spare, upid, err)
}

// swapBootDisk moves the disk of spare to the VM. The former disk is deleted, unless a
// snapshot has it.
func (b *Backend) swapBootDisk(ctx context.Context, e entry, c conf, spare entry) error {
	if c["scsi0"] != "" {
		if err := b.put(ctx, e, pve.Params{"delete": "scsi0"}); err != nil {
			return err
		}
	}
	p := pve.Params{"disk": "scsi0", "target-vmid": itoa(e.id), "target-disk": "scsi0"}
	move := spare.task("POST", "qmmove", p, "move_disk")
	move.ID = itoa(spare.id) + "-scsi0>" + itoa(e.id) + "-scsi0"
	if err := b.run(ctx, move); err != nil {
		return err
	}
	after, err := b.conf(ctx, e)
	if err != nil {
		return err
	}
	if after["scsi0"] == "" {
		return fmt.Errorf("VM %d has no boot disk after the exchange", e.id)
	}
	return b.dropUnused(ctx, e)
}

// dropUnused deletes the former disks of a VM, but those that a snapshot has.
func (b *Backend) dropUnused(ctx context.Context, e entry) error {
	c, err := b.conf(ctx, e)
	if err != nil {
		return err
	}
	for key := range c {
		if !strings.HasPrefix(key, "unused") {
			continue
		}
		if err := b.put(ctx, e, pve.Params{"delete": key}); err != nil {
			b.log.Info("a former disk stays", "vm", e.name, "disk", c[key], "error", err)
		}
	}
	return nil
}

// renewFirmware makes the disk of the UEFI variables of a VM that has lost it in a move.
func (b *Backend) renewFirmware(ctx context.Context, e entry, c conf) error {
	if c["bios"] != "ovmf" || c["efidisk0"] != "" {
		return nil
	}
	st, err := b.diskStorage(ctx, e.node)
	if err != nil {
		return err
	}
	return b.run(ctx, e.task("POST", "qmconfig", pve.Params{"efidisk0": b.firmware(st)}, "config"))
}

// dropSpares removes the spare VMs that a renewal of this VM's boot disk was cut off from.
func (b *Backend) dropSpares(ctx context.Context, s scan, name string) error {
	for _, e := range slices.DeleteFunc(slices.Clone(s.entries), func(e entry) bool { return !e.half() || !strings.HasPrefix(e.name, "nixvm-boot-") }) {
		c, err := b.conf(ctx, e)
		if err != nil {
			continue // it is gone, or will be found again
		}
		if r := readRecord(c["description"]); !r.Spare || r.Owner != b.owner.ID || r.Name != name {
			continue
		}
		if err := b.remove(ctx, e); err != nil {
			return err
		}
	}
	return nil
}
