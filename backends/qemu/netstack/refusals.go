package netstack

import (
	"log/slog"
	"net/netip"
	"sync"
)

// maxRefusals bounds what a guest can write into a log of its host.
const maxRefusals = 200

// refusals logs what the policy refused, each destination once.
type refusals struct {
	log *slog.Logger

	mu   sync.Mutex
	seen map[refusal]bool
}

type refusal struct {
	protocol string
	to       netip.AddrPort
}

func newRefusals(log *slog.Logger) *refusals { return &refusals{log: log, seen: map[refusal]bool{}} }

func (r *refusals) refused(protocol string, to netip.AddrPort) {
	r.mu.Lock()
	defer r.mu.Unlock()
	what := refusal{protocol, to}
	if len(r.seen) >= maxRefusals || r.seen[what] {
		return
	}
	r.seen[what] = true
	r.log.Info("refused", "protocol", protocol, "to", to)
	if len(r.seen) == maxRefusals {
		r.log.Warn("further refusals are not logged")
	}
}
