package libvirt

import (
	"context"
	"slices"
	"strings"

	golibvirt "github.com/digitalocean/go-libvirt"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/names"
)

// domain is what memory holds of one VM.
type domain struct {
	dom    golibvirt.Domain // zero: there are disks and no domain
	mark   mark
	status backends.Status
	agent  bool // the guest agent has opened its channel
	ending bool // the guest has powered off, and QEMU is about to end

	announced backends.Status // as the core has it
	sent      query           // whose answer this is
}

// query numbers the queries of libvirtd's state in the order in which they are sent,
// so that the answer to an older one never replaces that to a newer one, and none
// waits for another. A change between two answers is followed by an event, and that
// by another query.
type query int64

// nextQuery numbers a query that is sent now.
func (b *Backend) nextQuery() query {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lastQuery++
	return b.lastQuery
}

func (d *domain) defined() bool { return d.dom.UUID != golibvirt.UUID{} }

// get returns a copy of what memory holds.
func (b *Backend) get(name string) (domain, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if d := b.domains[name]; d != nil {
		return *d, true
	}
	return domain{}, false
}

// byUUID returns the machine's name of a domain of ours.
func (b *Backend) byUUID(id golibvirt.UUID) (string, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for name, d := range b.domains {
		if d.dom.UUID == id {
			return name, true
		}
	}
	return "", false
}

// put takes over what was learned of a VM, unless something newer is known, and
// tells the core when its state is another one. Agent and announced are kept.
func (b *Backend) put(name string, d domain) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.remember(name, d)
	b.changed.Broadcast()
}

// remember is put with b.mu held, without waking the waiters.
func (b *Backend) remember(name string, d domain) {
	before := b.domains[name]
	if before != nil && before.sent > d.sent || b.gone[name] > d.sent {
		return
	}
	delete(b.gone, name)
	if before != nil {
		d.agent, d.announced = before.agent, before.announced
	}
	if d.status.State != backends.Running && d.status.State != backends.Suspended {
		d.agent = false
	}
	d.status.Name, d.status.UUID = name, d.mark.UUID
	b.domains[name] = &d
	b.announce(&d, d.status)
}

// announce passes a status on to the core unless it has it already. b.mu is held.
func (b *Backend) announce(d *domain, s backends.Status) {
	if d.announced.State == s.State && d.announced.Reason == s.Reason {
		return
	}
	d.announced = s
	b.events.Push(backends.Event{Kind: backends.StateChanged, Status: s})
}

// forget removes a VM that was found to be gone, unless something newer is known.
func (b *Backend) forget(name string, sent query) {
	b.mu.Lock()
	defer b.mu.Unlock()
	d := b.domains[name]
	if d == nil || d.sent > sent {
		return
	}
	delete(b.domains, name)
	b.gone[name] = sent
	b.events.Push(backends.Event{Kind: backends.StateChanged, Status: backends.Status{Name: name, State: backends.Absent}})
	b.changed.Broadcast()
}

// until waits until holds is true of what memory has of a VM; holds gets nil when
// there is none.
func (b *Backend) until(ctx context.Context, name string, holds func(*domain) bool) error {
	return b.changed.Until(ctx, func() bool { return holds(b.domains[name]) })
}

// refresh asks libvirtd about a VM and takes the answer over. A VM that is not
// in memory stays unknown.
func (b *Backend) refresh(ctx context.Context, name string) error {
	d, ok := b.get(name)
	if !ok || !d.defined() {
		return nil
	}
	return b.learn(ctx, d.dom)
}

// learn asks for the state of a domain and puts it into memory if it is ours.
func (b *Backend) learn(ctx context.Context, dom golibvirt.Domain) error {
	sent := b.nextQuery()
	got, err := ask(ctx, b, func(l *golibvirt.Libvirt) (domain, error) { return b.inspect(l, dom) })
	switch {
	case hasCode(err, golibvirt.ErrNoDomain):
		if name, ok := b.byUUID(dom.UUID); ok {
			b.forget(name, sent)
		}
		return nil
	case err != nil:
		return err
	case got.mark.Name == "":
		return nil // another user's
	}
	got.sent = sent
	b.complete(&got)
	b.put(got.mark.Name, got)
	return nil
}

// complete adds what only this host knows.
func (b *Backend) complete(d *domain) {
	if d.status.State == backends.Running || d.status.State == backends.Suspended {
		d.status.PID = b.pidOf(d.dom.Name)
	}
}

// List returns the VMs in memory. For the first answer of a libvirtd that is far
// away it does not wait long: events tell of its VMs when it comes.
func (b *Backend) List(ctx context.Context) ([]backends.Status, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, b.limits.first, b.target.unreachable(errSilent))
	defer cancel()
	if err := b.known(ctx); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make([]backends.Status, 0, len(b.domains))
	for _, d := range b.domains {
		all = append(all, b.current(d))
	}
	slices.SortFunc(all, func(x, y backends.Status) int { return strings.Compare(x.Name, y.Name) })
	return all, nil
}

// Status returns what memory holds of one VM.
func (b *Backend) Status(ctx context.Context, ref backends.Ref) (backends.Status, error) {
	if err := names.Machine(ref.Name); err != nil {
		return backends.Status{}, err
	}
	if err := b.known(ctx); err != nil {
		return backends.Status{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch d := b.domains[ref.Name]; {
	case d != nil && ref.Is(d.mark.UUID):
		return b.current(d), nil
	case d == nil && b.down != nil:
		return backends.Status{}, b.target.unreachable(b.down)
	}
	return backends.Status{Name: ref.Name, State: backends.Absent}, nil
}

// known returns when memory has been filled once, or says why it is empty.
func (b *Backend) known(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var down error
	err := b.changed.Until(ctx, func() bool {
		if !b.filled {
			down = b.down
		}
		return b.filled || down != nil
	})
	if err == nil && down != nil {
		return b.target.unreachable(down)
	}
	return err
}

// current is what is true of a VM now: nothing, while libvirtd does not answer.
// b.mu is held.
func (b *Backend) current(d *domain) backends.Status {
	s := d.status
	if b.down != nil {
		s.State, s.Reason = backends.Unknown, "libvirtd does not answer"
	}
	return s
}

// lost notes that libvirtd is out of reach, and tells the core that nothing is
// known any more.
func (b *Backend) lost(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.down = err
	b.epoch++
	for _, d := range b.domains {
		d.agent = false
		b.announce(d, b.current(d))
	}
	b.changed.Broadcast()
}
