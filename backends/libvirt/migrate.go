package libvirt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	golibvirt "github.com/digitalocean/go-libvirt"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
)

// How a VM moves:
//
//	plan      refuse what cannot work; note what libvirt would lose
//	prepare   at the target: network, address, filter; the disks get both homes
//	carry     off: define it there. Running: libvirt's migration protocol, driven
//	          from here; only QEMU's stream goes from host to host
//	arrive    at the target: snapshots, autostart
//	or back   at the target: everything but the disks is removed
//	leave     at the source: the same
//
// Nothing in here touches the content of a disk. Which of the two hosts has the
// VM is read from them, never from memory: migrate_locate.go.

// migration is the plan of one, kept by the core.
type migration struct {
	Snapshots []movedSnapshot `json:"snapshots,omitempty"`
	Address   string          `json:"address,omitempty"` // of the guest on a libvirt network, while it runs
}

// move is a migration on its way.
type move struct {
	migration
	from, to *Backend
	spec     backends.Spec
	source   domain
	report   progress.Reporter
}

// Migrate moves the VM; see backends.Migrator.
func (b *Backend) Migrate(ctx context.Context, spec backends.Spec, dest backends.Backend, plan json.RawMessage, report progress.Reporter) error {
	m, release, err := b.beginMove(ctx, spec, dest, plan, report)
	if err != nil {
		return err
	}
	defer release()
	there, err := m.locate(ctx)
	if err != nil {
		return err
	}
	if !there {
		if err := m.clear(ctx); err != nil {
			return err
		}
		if err = m.forth(ctx); errors.Is(err, backends.ErrUnsettled) {
			return err
		}
		if err != nil {
			return m.recover(context.WithoutCancel(ctx), m.explain(err))
		}
	}
	return m.arrive(context.WithoutCancel(ctx))
}

// unsettled says that the plan is still needed.
func unsettled(err error) error {
	if err == nil || errors.Is(err, backends.ErrUnsettled) {
		return err
	}
	return fmt.Errorf("%w: %w", backends.ErrUnsettled, err)
}

// recover puts things right after a failure: the VM goes on where it is, which
// may be the target all the same.
func (m *move) recover(ctx context.Context, failed error) error {
	ctx, cancel := context.WithTimeout(ctx, m.from.limits.decide)
	defer cancel()
	there, err := m.locate(ctx)
	if err == nil && there {
		return m.arrive(ctx)
	}
	if err == nil {
		err = m.patiently(ctx, m.from, func() error { return m.back(ctx) })
		if left := m.clear(ctx); left != nil { // its libvirtd does not answer, and ends the rest itself
			m.to.log.Warn("a migration that did not arrive may have left files", "vm", m.spec.Name, "error", left)
		}
	}
	if err != nil {
		return errors.Join(failed, unsettled(err))
	}
	return failed
}

// LeaveMigrated removes what is left of a VM that has moved; see
// backends.Migrator. It waits for a source that does not answer.
func (b *Backend) LeaveMigrated(ctx context.Context, spec backends.Spec, dest backends.Backend, plan json.RawMessage, report progress.Reporter) error {
	m, release, err := b.beginMove(ctx, spec, dest, plan, report)
	if err != nil {
		return err
	}
	defer release()
	return m.patiently(ctx, b, func() error {
		if err := m.endMigrated(ctx); err != nil {
			return err
		}
		if err := b.removeAllButDisks(ctx, spec); err != nil {
			return err
		}
		return errors.Join(m.assignDisks(ctx, m.to), m.rescan(ctx))
	})
}

// beginMove is the beginning of both.
func (b *Backend) beginMove(ctx context.Context, spec backends.Spec, dest backends.Backend, plan json.RawMessage, report progress.Reporter) (*move, func(), error) {
	to, err := b.peer(dest)
	if err != nil {
		return nil, nil, err
	}
	m := &move{from: b, to: to, spec: spec, report: report}
	if err := json.Unmarshal(plan, &m.migration); err != nil {
		return nil, nil, fmt.Errorf("the plan of the migration: %w", err)
	}
	releaseSource, err := b.reserve(ctx, spec.Name)
	if err != nil {
		return nil, nil, err
	}
	releaseTarget, err := to.reserve(ctx, spec.Name)
	if err != nil {
		releaseSource()
		return nil, nil, err
	}
	return m, func() { releaseTarget(); releaseSource() }, nil
}

// forth brings the VM to the target. After an error it is not there.
func (m *move) forth(ctx context.Context) (err error) {
	if m.source, err = m.from.now(ctx, m.spec.Ref()); err != nil {
		return err
	}
	if err := m.prepare(ctx); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if m.source.running() {
		return m.live(ctx)
	}
	return m.offline(context.WithoutCancel(ctx))
}

// prepare makes at the target what the VM finds there.
func (m *move) prepare(ctx context.Context) error {
	m.report.Message("prepare", "preparing "+m.to.config.Name)
	if err := m.from.pool().proveShared(ctx, m.to.pool(), m.spec.Name); err != nil {
		return err
	}
	if err := m.to.ensureNetwork(ctx, m.spec, m.report); err != nil {
		return err
	}
	if err := m.assignDisks(ctx, m.from, m.to); err != nil {
		return err
	}
	if err := m.to.prepareArrival(ctx, m.spec, m.Address); err != nil {
		return err
	}
	return m.from.dropSnapshots(ctx, m.source, m.Snapshots)
}

// offline defines the domain there as it is here.
func (m *move) offline(ctx context.Context) error {
	text, err := ask(ctx, m.from, func(l *golibvirt.Libvirt) (string, error) {
		return m.definitionFor(l, golibvirt.DomainXMLInactive)
	})
	if err != nil {
		return err
	}
	return do(ctx, m.to, func(l *golibvirt.Libvirt) error {
		_, err := l.DomainDefineXMLFlags(text, 0)
		return err
	})
}

// arrive gives the domain at the target what did not come with it. Every part
// may be done twice.
func (m *move) arrive(ctx context.Context) error {
	dom, err := m.to.lookup(ctx, m.spec.UUID)
	if err == nil && dom == nil {
		err = problem.New(problem.MigrateFailed, "backend %s no longer has the domain of %s", m.to.config.Name, m.spec.Name)
	}
	if err != nil {
		return unsettled(err)
	}
	return unsettled(errors.Join(m.to.unpackSnapshots(ctx, *dom, m.Snapshots), m.to.setAutostart(ctx, *dom, m.spec.Autostart), m.to.learn(ctx, *dom)))
}

// back makes the source what it was, after a failure.
func (m *move) back(ctx context.Context) error {
	d, err := m.from.now(ctx, m.spec.Ref())
	if err == nil {
		err = m.from.unpackSnapshots(ctx, d.dom, m.Snapshots)
	}
	return errors.Join(err, m.assignDisks(ctx, m.from))
}

// assignDisks makes the disks belong to these backends and to no others. The
// source's libvirtd does it, so that its list of the pool is right.
func (m *move) assignDisks(ctx context.Context, homes ...*Backend) error {
	s, name := m.from.pool(), m.spec.Name
	return m.from.again(ctx, func() error {
		p, err := s.pool(ctx, nil)
		for _, b := range homes {
			if err == nil {
				err = s.markHome(ctx, p, name, b.config.Name)
			}
		}
		for _, b := range []*Backend{m.from, m.to} {
			if err == nil && !slices.Contains(homes, b) {
				err = s.dropVolume(ctx, p, s.home(name, b.config.Name))
			}
		}
		return err
	})
}

// rescan makes the target's libvirtd list the disks as they are now.
func (m *move) rescan(ctx context.Context) error {
	p, err := m.to.pool().pool(ctx, nil)
	if err != nil {
		return err
	}
	return m.to.pool().rescan(ctx, p)
}
