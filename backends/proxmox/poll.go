package proxmox

import (
	"context"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/proxmox/pve"
	"github.com/nixvm/nixvm/internal/sleep"
)

// firewallRounds is how many polls pass between two questions for the firewall, which people
// switch seldom.
const firewallRounds = 20

// poll asks for changes until ctx ends: one question per node, and one for the nodes.
func (b *Backend) poll(ctx context.Context) {
	tick := time.NewTicker(b.config.Poll)
	defer tick.Stop()
	for failures, round := 0, 0; ; round++ {
		asked := b.view.now()
		s, err := b.scan(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if failures++; failures == 2 {
				b.log.Warn("the cluster does not answer", "error", err)
				b.lose()
			}
		default:
			failures = 0
			b.observeScan(s, asked)
			b.watchAgents(ctx, s)
			b.learnAbilities(ctx)
			if round%firewallRounds == 0 {
				b.learnFirewall(ctx)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// watchAgents waits for the guest agent of each process that is new.
func (b *Backend) watchAgents(ctx context.Context, s scan) {
	for _, e := range s.entries {
		if b.ours(e.mark) && e.state == "running" {
			b.watchAgent(ctx, e)
		}
	}
}

// watchAgent waits for the agent of a VM, and tells once. ctx is that of the backend.
func (b *Backend) watchAgent(ctx context.Context, e entry) {
	b.view.mu.Lock()
	s := b.view.vms[e.name]
	begin := s != nil && s.agent != e.pid && e.pid != 0
	if begin {
		s.agent = e.pid
	}
	b.view.mu.Unlock()
	if !begin {
		return
	}
	b.wg.Go(func() {
		for pause := 200 * time.Millisecond; ; pause = min(2*pause, 10*time.Second) {
			_, err := b.interfaces(ctx, e)
			if err == nil {
				b.events.Push(backends.Event{Kind: backends.GuestAgentUp, Status: b.known(e.name)})
				return
			}
			if pve.NoVM(err) || pve.NotRunning(err) || !b.sameProcess(e) || !sleep.For(ctx, pause) {
				return
			}
		}
	})
}

// known is what was last told of a VM.
func (b *Backend) known(name string) backends.Status {
	b.view.mu.Lock()
	defer b.view.mu.Unlock()
	if s, ok := b.view.vms[name]; ok {
		return s.status
	}
	return backends.Status{Name: name, State: backends.Absent}
}

func (b *Backend) sameProcess(e entry) bool {
	b.view.mu.Lock()
	defer b.view.mu.Unlock()
	s, ok := b.view.vms[e.name]
	return ok && s.agent == e.pid && s.status.State != backends.Stopped && s.status.State != backends.Absent
}
