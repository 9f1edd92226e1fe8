package libvirt

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/progress"
)

// The flags of a live migration (virDomainMigrateFlags). The source's domain
// stays defined until leave: what undefines it then is the same for a VM that
// was off. Change protection keeps others from ending or changing the domain
// between the phases.
const (
	sourceFlags = golibvirt.MigrateLive | golibvirt.MigratePersistDest | golibvirt.MigrateAbortOnError |
		golibvirt.MigrateAutoConverge | golibvirt.MigrateChangeProtection
	targetFlags = sourceFlags &^ (golibvirt.MigrateAbortOnError | golibvirt.MigrateAutoConverge | golibvirt.MigrateChangeProtection)
)

const (
	// carryLimit is for the stream of a large and busy guest over a slow network.
	carryLimit = 24 * time.Hour
	// statsPause spaces the questions about how far it is.
	statsPause = 500 * time.Millisecond
)

// live runs version 3 of libvirt's migration protocol as the client that manages
// it (libvirt's migration.html): Begin, Prepare, Perform, Finish, Confirm, each
// with the cookie of the one before.
//
// It has a connection of its own on either side. When this process dies they
// break, and both libvirtds take back what was not finished: the target ends a
// QEMU that has not got its guest yet, the source goes on.
func (m *move) live(ctx context.Context) error {
	src, err := m.from.another(ctx)
	if err != nil {
		return err
	}
	defer src.close()
	dst, err := m.to.another(ctx)
	if err != nil {
		return err
	}
	defer dst.close()
	p := m.protocol(src, dst, m.source.dom)
	if err := p.begin(ctx); err != nil {
		return err
	}
	err = p.carry(ctx)
	if errors.Is(err, backends.ErrUnsettled) {
		return err
	}
	p.confirm(ctx, err != nil)
	return err
}

// protocol is a migration of a domain that has not begun.
func (m *move) protocol(src, dst *conn, dom golibvirt.Domain) *protocol {
	p := &protocol{m: m, src: src, dst: dst, dom: dom, flags: sourceFlags}
	if m.from.config.MigrateUnsafe {
		p.flags |= golibvirt.MigrateUnsafe
	}
	return p
}

// carry runs the phases from Prepare to Finish.
func (p *protocol) carry(ctx context.Context) error {
	if err := p.prepare(ctx); err != nil {
		return err
	}
	err := p.perform(ctx)
	if errors.Is(err, errClosed) {
		return unsettled(err)
	}
	return p.finish(ctx, err)
}

// protocol is the state between the phases.
type protocol struct {
	m        *move
	src, dst *conn
	dom      golibvirt.Domain
	flags    golibvirt.DomainMigrateFlags
	params   []golibvirt.TypedParam
	cookie   []byte
}

func (p *protocol) set(field, value string) {
	if value == "" {
		return
	}
	for i := range p.params {
		if p.params[i].Field == field {
			p.params[i].Value = *golibvirt.NewTypedParamValueString(value)
			return
		}
	}
	p.params = append(p.params, golibvirt.TypedParam{Field: field, Value: *golibvirt.NewTypedParamValueString(value)})
}

// begin asks the source for the definition that the target gets.
func (p *protocol) begin(ctx context.Context) error {
	m := p.m
	for field, flags := range map[string]golibvirt.DomainXMLFlags{
		golibvirt.MigrateParamDestXML: 0, golibvirt.MigrateParamPersistXML: golibvirt.DomainXMLInactive,
	} {
		text, err := call(ctx, p.src, m.from.limits.call, func(l *golibvirt.Libvirt) (string, error) { return m.definitionFor(l, flags) })
		if err != nil {
			return err
		}
		p.set(field, text)
	}
	p.set(golibvirt.MigrateParamDestName, p.dom.Name)
	begun, err := call(ctx, p.src, m.from.limits.start, func(l *golibvirt.Libvirt) (answer, error) {
		cookie, xml, err := l.DomainMigrateBegin3Params(p.dom, p.params, uint32(p.flags))
		return answer{cookie, xml}, err
	})
	p.cookie = begun.cookie
	p.set(golibvirt.MigrateParamDestXML, begun.text)
	return err
}

// answer is what a phase gives to the next one.
type answer struct {
	cookie []byte
	text   string
}

// prepare makes the target start a QEMU that waits for the guest. One of an earlier
// attempt may have come up there since it was cleared: its libvirtd was starting it when
// the process that had asked for it died, and ends it now.
func (p *protocol) prepare(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, p.m.from.limits.decide)
	defer cancel()
	var failed error
	once := false // the target had none when it was asked
	if err := p.m.patiently(limited, p.m.to, func() error {
		if failed = p.prepareOnce(ctx); !hasCode(failed, golibvirt.ErrOperationInvalid) {
			return nil
		}
		target, err := p.m.sideOf(ctx, p.m.to)
		switch {
		case err != nil:
			return err
		case target.running() || !target.active && once:
			return nil
		}
		once = once || !target.active
		return errMoving
	}); err != nil && failed == nil {
		return err
	}
	return failed
}

func (p *protocol) prepareOnce(ctx context.Context) error {
	p.set(golibvirt.MigrateParamURI, p.m.to.config.MigrateURI)
	params, cookie := p.params, p.cookie
	prepared, err := call(ctx, p.dst, p.m.to.limits.start, func(l *golibvirt.Libvirt) (answer, error) {
		cookie, uri, err := l.DomainMigratePrepare3Params(params, cookie, uint32(targetFlags))
		return answer{cookie, strings.Join(uri, "")}, err
	})
	if err != nil {
		return err
	}
	p.cookie = prepared.cookie
	p.set(golibvirt.MigrateParamURI, prepared.text)
	return nil
}

// perform carries the guest over; it stops at the source when all of it is there.
func (p *protocol) perform(ctx context.Context) error {
	type result struct {
		cookie []byte
		err    error
	}
	done := make(chan result, 1)
	params, cookieIn := p.params, p.cookie
	go func() {
		cookie, err := call(context.WithoutCancel(ctx), p.src, carryLimit, func(l *golibvirt.Libvirt) ([]byte, error) {
			return l.DomainMigratePerform3Params(p.dom, nil, params, cookieIn, p.flags)
		})
		done <- result{cookie, err}
	}()
	tick := time.NewTicker(statsPause)
	defer tick.Stop()
	stop, lost := ctx.Done(), p.dst.wire.lost
	for {
		select {
		case r := <-done:
			p.cookie = r.cookie
			switch {
			case ctx.Err() != nil:
				return context.Cause(ctx)
			case lost == nil:
				return p.m.to.target.unreachable(errLost)
			}
			return r.err
		case <-tick.C:
			p.stats(ctx)
		case <-stop:
			stop = nil
			p.abort(ctx)
		case <-p.m.from.link.done: // closed: as if this process had died
			return errClosed
		case <-p.m.to.link.done:
			return errClosed
		case <-lost: // the target's libvirtd is gone, and with it the one who would finish
			lost = nil
			p.abort(ctx)
		}
	}
}

// abort ends Perform; the guest goes on at the source. A transfer that has ended
// in this instant is not an error: it is not finished over there.
func (p *protocol) abort(ctx context.Context) {
	_, err := call(context.WithoutCancel(ctx), p.src, p.m.from.limits.call, func(l *golibvirt.Libvirt) (struct{}, error) {
		return struct{}{}, l.DomainAbortJob(p.dom)
	})
	if err != nil {
		p.m.from.log.Warn("a migration cannot be stopped", "vm", p.m.spec.Name, "error", err)
	}
}

// stats reports how much of the memory is left.
func (p *protocol) stats(ctx context.Context) {
	stats, err := call(ctx, p.src, p.m.from.limits.call, func(l *golibvirt.Libvirt) (map[string]uint64, error) {
		_, params, err := l.DomainGetJobStats(p.dom, 0)
		stats := map[string]uint64{}
		for _, s := range params {
			if n, ok := s.Value.I.(uint64); ok {
				stats[s.Field] = n
			}
		}
		return stats, err
	})
	total, left := stats["data_total"], stats["data_remaining"]
	if err != nil || total == 0 {
		return
	}
	p.m.report.Report(progress.Update{
		Vertex: "memory", Message: fmt.Sprintf("moving the memory to %s: %d of %d MiB left", p.m.to.config.Name, left>>20, total>>20),
		Current: int64(total - min(left, total)), Total: int64(total), Unit: "bytes",
	})
}

// finish lets the guest go on at the target, or, after an error, tells the
// target that it does not come. It returns nil when the guest is there.
func (p *protocol) finish(ctx context.Context, failed error) error {
	cancelled := boolean(failed != nil)
	// From here on nothing is cut off: the guest is to run on one of the two.
	ctx = context.WithoutCancel(ctx)
	params, cookieIn := p.params, p.cookie
	cookie, err := call(ctx, p.dst, p.m.to.limits.start, func(l *golibvirt.Libvirt) ([]byte, error) {
		_, cookie, err := l.DomainMigrateFinish3Params(params, cookieIn, uint32(targetFlags), cancelled)
		return cookie, err
	})
	p.cookie = cookie
	switch {
	case failed != nil:
		return failed
	case err == nil || isAnswer(err):
		return err
	}
	// The answer is lost. The source waits, paused, until it is known.
	there, unknown := p.m.hasArrived(ctx)
	if unknown != nil {
		return errors.Join(backends.ErrUnsettled, unknown, err)
	}
	if there {
		return nil
	}
	return err
}

// endMigrated ends the QEMU that a guest has left, and whose migration was not confirmed,
// because the process that drove it died. Were it destroyed like any other, libvirtd would
// give its disks back to their owner, also on a file system that it knows to be shared,
// while the QEMU of the other host uses them. Only one that has migrated keeps them: so
// a migration is begun, and confirmed at once.
func (m *move) endMigrated(ctx context.Context) error {
	source, err := m.sideOf(ctx, m.from)
	switch {
	case err != nil:
		return err
	case source.ending:
		return errMoving
	case !source.paused:
		return nil
	}
	src, err := m.from.another(ctx)
	if err != nil {
		return err
	}
	defer src.close()
	p := m.protocol(src, nil, source.dom)
	if _, err := call(ctx, src, m.from.limits.start, func(l *golibvirt.Libvirt) (struct{}, error) {
		_, _, err := l.DomainMigrateBegin3Params(p.dom, nil, uint32(p.flags))
		return struct{}{}, err
	}); err != nil && isAnswer(err) {
		m.from.log.Warn("the former QEMU of a migrated VM is destroyed: its libvirtd may change the owner of the disks", "vm", m.spec.Name, "error", err)
		return nil
	} else if err != nil {
		return err
	}
	p.confirm(ctx, false)
	return nil
}

// confirm tells the source how it ended: its QEMU ends, or goes on.
func (p *protocol) confirm(ctx context.Context, cancelled bool) {
	_, err := call(context.WithoutCancel(ctx), p.src, p.m.from.limits.start, func(l *golibvirt.Libvirt) (struct{}, error) {
		return struct{}{}, l.DomainMigrateConfirm3Params(p.dom, p.params, p.cookie, uint32(p.flags), boolean(cancelled))
	})
	if err != nil {
		// After a failed Perform the source has gone on by itself, and says that
		// it migrates nothing; after a good one, leave ends what is left.
		p.m.from.log.Debug("cannot confirm that the migration has ended", "vm", p.m.spec.Name, "cancelled", cancelled, "error", err)
	}
}
