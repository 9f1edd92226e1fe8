package libvirt

import (
	"context"
	"errors"
	"fmt"

	golibvirt "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/boot"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
)

// Create makes a VM with an empty state disk, or, mutable, a copy of the image.
func (b *Backend) Create(ctx context.Context, spec backends.Spec, report progress.Reporter) error {
	err := b.build(ctx, spec, report, func(spec backends.Spec) (disks, error) { return b.storage.create(ctx, spec, report) })
	if err != nil {
		return fmt.Errorf("create VM %s: %w", spec.Name, err)
	}
	return nil
}

// build makes the disks, by storage, for spec with the image as the VM boots it, and
// then the domain: disks without a domain are what a
// crash leaves, and are shown as broken.
func (b *Backend) build(ctx context.Context, spec backends.Spec, report progress.Reporter, storage func(backends.Spec) (disks, error)) (err error) {
	if err := backends.CheckSpec(b, spec); err != nil {
		return err
	}
	if spec.Image, err = boot.Choose(spec); err != nil {
		return err
	}
	if _, err := b.passed(ctx, spec.PCIDevices); err != nil {
		return err
	}
	release, err := b.reserve(ctx, spec.Name)
	if err != nil {
		return err
	}
	defer release()
	if err := b.checkFree(ctx, spec); err != nil {
		return err
	}
	if err := b.ensureNetwork(ctx, spec, report); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.uncreate(context.WithoutCancel(ctx), spec))
		}
	}()
	d, err := storage(spec)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if err := b.again(ctx, func() error { return b.define(ctx, spec, d) }); err != nil {
		return err
	}
	report.Report(progress.Update{Vertex: "disk", Done: true})
	return nil
}

// uncreate removes what a build that failed has made, which may be all of it.
func (b *Backend) uncreate(ctx context.Context, spec backends.Spec) error {
	err := b.again(ctx, func() error {
		dom, err := b.lookup(ctx, spec.UUID)
		if err != nil || dom == nil {
			return err
		}
		if err := b.learn(ctx, *dom); err != nil { // into memory, if it is ours
			return err
		}
		return b.undefine(ctx, spec.Name)
	})
	if b.filter != nil {
		err = errors.Join(err, b.filter.remove(ctx, spec.Name))
	}
	err = errors.Join(err, b.storage.remove(ctx, spec.Name))
	if err == nil {
		b.forget(spec.Name, b.nextQuery())
	}
	return err
}

// lookup finds a domain, ours or not; nil = there is none.
func (b *Backend) lookup(ctx context.Context, id string) (*golibvirt.Domain, error) {
	parsed, err := uuid.Parse(id)
	if err != nil {
		return nil, err
	}
	dom, err := ask(ctx, b, func(l *golibvirt.Libvirt) (golibvirt.Domain, error) {
		return l.DomainLookupByUUID(golibvirt.UUID(parsed))
	})
	if hasCode(err, golibvirt.ErrNoDomain) {
		return nil, nil
	}
	return &dom, err
}

// checkFree refuses a VM that exists, here or under the same UUID elsewhere.
func (b *Backend) checkFree(ctx context.Context, spec backends.Spec) error {
	if _, err := b.now(ctx, backends.Named(spec.Name)); err == nil {
		return refusal.Exists(spec.Name)
	} else if !problem.HasCode(err, problem.VMNotFound) {
		return err
	}
	dom, err := b.lookup(ctx, spec.UUID)
	if err != nil || dom == nil {
		return err
	}
	return problem.New(problem.VMExists, "libvirt has a domain %s with the UUID of %s, which nixvm did not create", backends.OneLine(dom.Name), spec.Name).
		// Not by its name, which another user has chosen.
		WithHint("if it is yours and no longer needed: virsh -c %s undefine %s; otherwise change the UUID in the machine's file uuid", b.target.virsh(), spec.UUID)
}

// define defines the domain as spec wants it, and takes it into memory.
func (b *Backend) define(ctx context.Context, spec backends.Spec, d disks) error {
	p, err := b.blueprint(ctx, spec, d)
	if err != nil {
		return err
	}
	x := p.define()
	if b.filter != nil && len(x.Devices.Interfaces) > 0 {
		if err := b.filter.apply(ctx, spec, &x.Devices.Interfaces[0]); err != nil {
			return err
		}
	}
	text, err := x.Marshal()
	if err != nil {
		return err
	}
	dom, err := askFor(ctx, b, b.limits.start, func(l *golibvirt.Libvirt) (golibvirt.Domain, error) {
		dom, err := l.DomainDefineXMLFlags(text, 0)
		if err == nil {
			err = l.DomainSetAutostart(dom, boolean(spec.Autostart && b.target.autostarts()))
		}
		return dom, err
	})
	if err != nil && isAnswer(err) {
		return problem.New(problem.VMStartFailed, "libvirt refuses the definition: %s", backends.OneLine(err.Error()))
	}
	if err != nil {
		return err
	}
	return b.learn(ctx, dom)
}

// blueprint completes what the definition is made from.
func (b *Backend) blueprint(ctx context.Context, spec backends.Spec, d disks) (blueprint, error) {
	old, _ := b.get(spec.Name)
	p := blueprint{spec: spec, disks: d, network: b.config.Network, name: old.dom.Name}
	m := mark{
		Name: spec.Name, UUID: spec.UUID, Owner: b.owner.ID, User: b.owner.User,
		Mutable: spec.Mutable, Image: spec.Image.ID, MAC: spec.MAC,
	}
	var err error
	if p.passed, err = b.passed(ctx, spec.PCIDevices); err != nil {
		return p, err
	}
	if b.target.Session && spec.Bridge == "" {
		if m.Port, err = b.pickPort(spec, old.mark.Port); err != nil {
			return p, err
		}
		p.port = m.Port
	}
	if p.accel, err = b.chooseAccel(ctx, spec.Image); err != nil {
		return p, err
	}
	m.Accel = p.accel
	if p.name == "" {
		p.name, err = b.freeName(ctx, spec.Name)
	}
	p.mark = m
	return p, err
}

// freeName is the machine's name, or one with the owner behind it when a domain
// of another user has this name.
func (b *Backend) freeName(ctx context.Context, name string) (string, error) {
	_, err := ask(ctx, b, func(l *golibvirt.Libvirt) (golibvirt.Domain, error) { return l.DomainLookupByName(name) })
	switch {
	case hasCode(err, golibvirt.ErrNoDomain):
		return name, nil
	case err != nil:
		return "", err
	}
	return name + "-" + b.owner.ID, nil
}
