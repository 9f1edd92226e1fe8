package backendtest

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/nixvm/nixvm/backends/internal/freeze"
)

// Pauses is a log handler for benchmarks: it keeps how long guests could not write,
// which backends log with each snapshot of a running VM. The zero value is ready.
type Pauses struct {
	mu  sync.Mutex
	all []time.Duration
}

// Enabled takes every record.
func (*Pauses) Enabled(context.Context, slog.Level) bool { return true }

// WithAttrs changes nothing.
func (p *Pauses) WithAttrs([]slog.Attr) slog.Handler { return p }

// WithGroup changes nothing.
func (p *Pauses) WithGroup(string) slog.Handler { return p }

// Handle keeps the pause of a record that has one.
func (p *Pauses) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == freeze.PausedKey {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.all = append(p.all, a.Value.Duration())
		}
		return true
	})
	return nil
}

// Median is that of all pauses; 0 = there was none.
func (p *Pauses) Median() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.all) == 0 {
		return 0
	}
	slices.Sort(p.all)
	return p.all[len(p.all)/2]
}
