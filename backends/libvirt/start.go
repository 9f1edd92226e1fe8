package libvirt

import (
	"context"
	"errors"
	"fmt"

	golibvirt "github.com/digitalocean/go-libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/boot"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/internal/problem"
)

// Start prepares the disks, defines the domain anew and starts it.
func (b *Backend) Start(ctx context.Context, spec backends.Spec) error {
	if err := backends.CheckSpec(b, spec); err != nil {
		return err
	}
	d, release, err := b.begin(ctx, spec.Ref())
	if err != nil {
		return err
	}
	defer release()
	if d.ending {
		if err := b.awaitEnd(ctx, spec.Name); err != nil {
			return fmt.Errorf("start VM %s: %w", spec.Name, err)
		}
	} else if d.running() {
		return nil
	}
	if err := b.Limits(ctx).Check(spec); err != nil {
		return err
	}
	err = b.again(ctx, func() error { return b.start(ctx, spec) })
	if err != nil {
		return fmt.Errorf("start VM %s: %w", spec.Name, err)
	}
	return nil
}

// awaitEnd waits until the QEMU of a guest that has powered off has ended.
func (b *Backend) awaitEnd(ctx context.Context, name string) error {
	silent := problem.New(problem.VMStartFailed, "its guest has powered off, but QEMU has not ended").Retry().WithHint("nixvmd kill %s ends it", name)
	ctx, cancel := context.WithTimeoutCause(ctx, b.limits.start, silent)
	defer cancel()
	return b.until(ctx, name, ended)
}

// start is one attempt. It finds out first how far an earlier one came.
func (b *Backend) start(ctx context.Context, spec backends.Spec) error {
	d, err := b.now(ctx, spec.Ref())
	if err != nil || d.running() {
		return err
	}
	if d.status.State == backends.Broken {
		return problem.New(problem.VMStartFailed, "it is broken: %s", d.status.Reason).
			WithHint("its disks are not changed: restore the missing files; if it is no longer needed: nixvmd destroy %s", spec.Name)
	}
	if err := b.defineFor(ctx, d, spec); err != nil {
		return err
	}
	_, err = askFor(ctx, b, b.limits.start, func(l *golibvirt.Libvirt) (golibvirt.Domain, error) {
		return l.DomainCreateWithFlags(d.dom, 0)
	})
	if hasCode(err, golibvirt.ErrOperationInvalid) && b.isNow(ctx, spec.Ref(), backends.Running) {
		return nil // an attempt that was cut off had started it
	}
	if err != nil && isAnswer(err) {
		return errors.Join(problem.New(problem.VMStartFailed, "libvirt: %s", backends.OneLine(err.Error())), b.refresh(ctx, spec.Name))
	}
	if err != nil {
		return err
	}
	b.log.Info("VM started", "vm", spec.Name, "domain", d.dom.Name)
	return b.refresh(ctx, spec.Name)
}

// defineFor makes the domain of a VM that is off anew, with its disks as spec has them.
func (b *Backend) defineFor(ctx context.Context, d domain, spec backends.Spec) error {
	if d.mark.Mutable != spec.Mutable {
		return refusal.OtherMode(spec.Name, "recreate it to change the mode")
	}
	var err error
	if spec.Image, err = boot.Choose(spec); err != nil {
		return err
	}
	if _, err := b.passed(ctx, spec.PCIDevices); err != nil { // before anything is changed
		return err
	}
	if err := b.ensureNetwork(ctx, spec, nil); err != nil {
		return err
	}
	made, err := b.storage.prepare(ctx, spec)
	if err != nil {
		return err
	}
	if err := b.keepLayer(ctx, d, &made); err != nil {
		return err
	}
	return b.define(ctx, spec, made)
}

// keepLayer goes on with the file that an external snapshot of virsh has put on
// top of the state disk: without it the guest would be back where it was then.
func (b *Backend) keepLayer(ctx context.Context, d domain, made *disks) error {
	snapshots, err := b.stored(ctx, d)
	if err != nil {
		return err
	}
	layer, err := b.layer(ctx, d, snapshots)
	if layer != "" {
		made.State = layer
	}
	return err
}

// layer is the file of an external snapshot that the state disk goes on in;
// empty = none.
func (b *Backend) layer(ctx context.Context, d domain, snapshots []libvirtxml.DomainSnapshot) (string, error) {
	x, err := ask(ctx, b, func(l *golibvirt.Libvirt) (libvirtxml.Domain, error) {
		return definition(l, d.dom, golibvirt.DomainXMLInactive)
	})
	if err != nil {
		return "", err
	}
	file := sourceOf(x, stateTarget(d.mark.Mutable))
	for _, s := range snapshots {
		if file != "" && externalFile(s, stateTarget(d.mark.Mutable)) == file {
			return file, nil
		}
	}
	return "", nil
}

// externalFile is the file that a snapshot has put on top of a disk; empty for
// an internal one.
func externalFile(s libvirtxml.DomainSnapshot, target string) string {
	if s.Disks == nil {
		return ""
	}
	for _, disk := range s.Disks.Disks {
		if disk.Name == target && disk.Snapshot == "external" && disk.Source != nil && disk.Source.File != nil {
			return disk.Source.File.File
		}
	}
	return ""
}
