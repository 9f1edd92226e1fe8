package libvirt

import (
	"context"
	"fmt"

	golibvirt "github.com/digitalocean/go-libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/nixvm/nixvm/backends"
)

// followed are the kinds of events that are asked for.
var followed = []golibvirt.DomainEventID{
	golibvirt.DomainEventIDLifecycle, golibvirt.DomainEventIDReboot, golibvirt.DomainEventIDAgentLifecycle,
}

// follow subscribes to the events of a new connection and takes over what there
// is. The worker that it starts ends with the connection.
//
// go-libvirt queues events without bound as long as there is a reader, so
// the worker may ask libvirtd about each.
func (b *Backend) follow(ctx context.Context, c *conn) error {
	incoming := make(chan any)
	for _, id := range followed {
		stream, err := call(ctx, c, b.limits.call, func(l *golibvirt.Libvirt) (<-chan any, error) {
			// Never cancelled: see conn.
			return l.SubscribeEvents(context.Background(), id, nil)
		})
		if err != nil {
			return fmt.Errorf("subscribe to events of libvirtd: %w", err)
		}
		b.workers.Add(1)
		go func() {
			defer b.workers.Done()
			for event := range stream {
				select {
				case incoming <- event:
				case <-c.wire.lost:
				}
			}
		}()
	}
	if err := b.takeOver(ctx, c); err != nil {
		return err
	}
	b.workers.Add(2)
	go func() {
		defer b.workers.Done()
		b.thawLeft(ctx)
	}()
	go func() {
		defer b.workers.Done()
		for {
			select {
			case event := <-incoming:
				b.handle(ctx, event)
			case <-c.wire.lost:
				return
			}
		}
	}()
	return nil
}

// takeOver makes memory what libvirtd says.
func (b *Backend) takeOver(ctx context.Context, c *conn) error {
	listed := b.nextQuery()
	doms, err := call(ctx, c, b.limits.call, func(l *golibvirt.Libvirt) ([]golibvirt.Domain, error) {
		all, _, err := l.ConnectListAllDomains(1, 0)
		return all, err
	})
	if err != nil {
		return fmt.Errorf("list the domains: %w", err)
	}
	found := map[string]domain{}
	for _, dom := range doms {
		sent := b.nextQuery()
		d, err := call(ctx, c, b.limits.call, func(l *golibvirt.Libvirt) (domain, error) { return b.inspect(l, dom) })
		switch {
		case hasCode(err, golibvirt.ErrNoDomain): // it went while we looked
		case err != nil:
			return fmt.Errorf("domain %s: %w", dom.Name, err)
		case d.mark.Name != "":
			d.sent = sent
			b.complete(&d)
			found[d.mark.Name] = d
		}
	}
	if err := b.compareDisks(ctx, c, found); err != nil {
		return err
	}
	b.mu.Lock()
	var gone []string
	for name := range b.domains {
		if _, ok := found[name]; !ok {
			gone = append(gone, name)
		}
	}
	b.filled, b.down = true, nil
	for name, d := range found { // all at once: no reader sees a part of them
		b.remember(name, d)
	}
	b.changed.Broadcast()
	b.mu.Unlock()
	for _, name := range gone {
		b.forget(name, listed)
	}
	for name, d := range found {
		b.setAgent(name, b.agentConnected(ctx, c, d))
	}
	return nil
}

// compareDisks marks as broken what has only disks or only a domain.
func (b *Backend) compareDisks(ctx context.Context, c *conn, found map[string]domain) error {
	sent := b.nextQuery()
	names, err := b.storage.names(ctx, c)
	if err != nil {
		return fmt.Errorf("list the disks: %w", err)
	}
	for name, ours := range names {
		if _, ok := found[name]; !ok && ours {
			found[name] = domain{sent: sent, status: backends.Status{State: backends.Broken, Reason: "it has disks but no domain: its creation or removal was interrupted"}}
		}
	}
	for name, d := range found {
		if _, with := names[name]; !with && d.status.State != backends.Running && d.status.State != backends.Suspended {
			d.status = backends.Status{State: backends.Broken, Reason: "its disks are gone"}
			found[name] = d
		}
	}
	return nil
}

// handle applies one event. Its content is used only where asking would come
// too late: the answer of libvirtd is what counts.
func (b *Backend) handle(ctx context.Context, event any) {
	switch e := event.(type) {
	case *golibvirt.DomainEventCallbackLifecycleMsg:
		if err := b.learn(ctx, e.Msg.Dom); err != nil {
			b.log.Debug("event lost", "domain", e.Msg.Dom.Name, "error", err)
		}
	case *golibvirt.DomainEventCallbackRebootMsg:
		if name, ok := b.byUUID(e.Msg.Dom.UUID); ok {
			b.rebooted(name)
		}
	case *golibvirt.DomainEventCallbackAgentLifecycleMsg:
		if name, ok := b.byUUID(e.Dom.UUID); ok {
			b.setAgent(name, e.State == agentStateConnected)
		}
	}
}

// agentStateConnected is VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_CONNECTED.
const agentStateConnected = 1

func (b *Backend) rebooted(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if d := b.domains[name]; d != nil {
		b.events.Push(backends.Event{Kind: backends.Rebooted, Status: d.status})
		b.changed.Broadcast()
	}
}

// agentConnected reads from the live definition whether the guest agent has
// opened its channel.
func (b *Backend) agentConnected(ctx context.Context, c *conn, d domain) bool {
	if d.status.State != backends.Running && d.status.State != backends.Suspended {
		return false
	}
	x, err := call(ctx, c, b.limits.call, func(l *golibvirt.Libvirt) (libvirtxml.Domain, error) { return definition(l, d.dom, 0) })
	if err != nil || x.Devices == nil {
		return false
	}
	for _, ch := range x.Devices.Channels {
		if t := ch.Target; t != nil && t.VirtIO != nil && t.VirtIO.Name == agentChannel {
			return t.VirtIO.State == "connected"
		}
	}
	return false
}

func (b *Backend) setAgent(name string, up bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	d := b.domains[name]
	if d == nil || d.agent == up {
		return
	}
	d.agent = up
	if up {
		b.events.Push(backends.Event{Kind: backends.GuestAgentUp, Status: d.status})
	}
	b.changed.Broadcast()
}
