package proxmox

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/proxmox/pve"
	"github.com/nixvm/nixvm/internal/sleep"
)

// applyTime is within which a node applies changes of its firewall: pve-firewall looks every
// 10 s (pve_firewall.pm, updatetime), and then takes a moment.
const applyTime = 12 * time.Second

// walls is what is known of the firewall of the cluster, and when that of a VM was changed.
type walls struct {
	on atomic.Bool // of the datacenter and of all nodes that may have VMs

	mu      sync.Mutex
	changed map[int]time.Time // by the number of the VM
}

// wrote takes note of a change.
func (w *walls) wrote(id int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.changed == nil {
		w.changed = map[int]time.Time{}
	}
	for old, at := range w.changed {
		if time.Since(at) > time.Hour {
			delete(w.changed, old)
		}
	}
	w.changed[id] = time.Now()
}

// applied waits until the node has applied the last change.
func (w *walls) applied(ctx context.Context, id int, within time.Duration) error {
	w.mu.Lock()
	at, ok := w.changed[id]
	w.mu.Unlock()
	if left := within - time.Since(at); ok && left > 0 && !sleep.For(ctx, left) {
		return context.Cause(ctx)
	}
	return nil
}

// Isolates reports whether the firewalls of the datacenter and the nodes are on, as far as
// the token may see that. The firewall is that of the VM, so that the bridge does not matter.
func (b *Backend) Isolates(string) bool { return b.walls.on.Load() }

// errUnseen: the token lacks the privilege to see whether a firewall is on.
var errUnseen = errors.New("it cannot be told without the privilege Sys.Audit")

// firewallOff says what switches the rules of VMs off; empty = nothing does.
func (b *Backend) firewallOff(ctx context.Context) (what string, err error) {
	on, err := b.firewallOn(ctx, pve.Path("cluster", "firewall", "options"), false)
	if err != nil || !on {
		return "the datacenter", err
	}
	nodes, err := b.nodes(ctx)
	if err != nil {
		return "", err
	}
	for _, n := range nodes {
		if !n.online() || b.config.Node != "" && n.Node != b.config.Node {
			continue
		}
		on, err := b.firewallOn(ctx, pve.Path("nodes", n.Node, "firewall", "options"), true)
		if err != nil || !on {
			return "node " + n.Node, err
		}
	}
	return "", nil
}

// firewallOn asks for one of the switches; unset is what holds where it is not set (schema:
// on for a node, off for the datacenter).
func (b *Backend) firewallOn(ctx context.Context, path string, unset bool) (bool, error) {
	var options struct{ Enable *int }
	err := b.api.Get(ctx, path, nil, &options)
	if _, denied := pve.Denied(err); denied {
		return false, errUnseen
	}
	if err != nil {
		return false, err
	}
	if options.Enable == nil {
		return unset, nil
	}
	return *options.Enable != 0, nil
}

// learnFirewall asks whether isolation is enforced, and tells when that changes.
func (b *Backend) learnFirewall(ctx context.Context) {
	what, err := b.firewallOff(ctx)
	if err != nil && !errors.Is(err, errUnseen) {
		return
	}
	if on := what == ""; b.walls.on.Swap(on) != on {
		b.events.Push(backends.Event{Kind: backends.CapabilitiesChanged})
	}
}

// checkFirewall says whether the rules of isolated VMs are enforced.
func (b *Backend) checkFirewall(ctx context.Context) ([]backends.Finding, error) {
	what, err := b.firewallOff(ctx)
	f := backends.Finding{Code: "proxmox.isolation", Severity: backends.Warning}
	switch {
	case errors.Is(err, errUnseen):
		f.Message = fmt.Sprintf("whether the firewall of %s is on cannot be seen: the rules that isolate VMs with an agent profile may have no effect", what)
		f.Fix = grant{path: "/", role: "NixVMAudit", privileges: []string{"Sys.Audit"}}.pveum(b.api.TokenID())
	case err != nil:
		return nil, err
	case what == "the datacenter":
		f.Message = "the firewall of the datacenter is off: the rules that isolate VMs with an agent profile have no effect"
		f.Fix = "switch it on: Datacenter, Firewall, Options. It then also protects the nodes: first make sure that its rules admit you to them"
	case what != "":
		f.Message = fmt.Sprintf("the firewall of %s is off: the rules that isolate VMs with an agent profile have no effect there", what)
		f.Fix = "switch it on: the node, Firewall, Options"
	default:
		return nil, nil
	}
	return []backends.Finding{f}, nil
}
