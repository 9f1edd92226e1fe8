package qemu_test

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/backendtest"
)

// BenchmarkLiveSnapshot measures a snapshot of a running guest, and in
// pause-ms/op how long the guest could not write (freeze to thaw; median):
//
//	NIXVM_ACCEL=tcg go test -run '^$' -bench LiveSnapshot -benchtime 20x ./backends/qemu
func BenchmarkLiveSnapshot(b *testing.B) {
	g := newGuest(b)
	pauses := &pauseRecorder{}
	g.log = pauses
	backend := g.open(b)
	defer backend.Close()
	ctx, cancel := context.WithTimeout(b.Context(), waitLimit)
	defer cancel()
	spec := g.Spec("bench")
	if err := backend.Create(ctx, spec, nil); err != nil {
		b.Fatal(err)
	}
	defer backend.Destroy(context.Background(), spec.Name)
	if err := backend.Start(ctx, spec); err != nil {
		b.Fatal(err)
	}
	for e := range backend.Events() {
		if e.Kind == backends.GuestAgentUp {
			break
		}
	}
	backendtest.BenchmarkSnapshot(b, backend, spec.Name)
	b.ReportMetric(pauses.median().Seconds()*1000, "pause-ms/op")
}

// pauseRecorder keeps the pauses that the backend logs.
type pauseRecorder struct {
	mu  sync.Mutex
	all []time.Duration
}

func (*pauseRecorder) Enabled(context.Context, slog.Level) bool { return true }
func (p *pauseRecorder) WithAttrs([]slog.Attr) slog.Handler     { return p }
func (p *pauseRecorder) WithGroup(string) slog.Handler          { return p }

func (p *pauseRecorder) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "paused" {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.all = append(p.all, a.Value.Duration())
		}
		return true
	})
	return nil
}

func (p *pauseRecorder) median() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.all) == 0 {
		return 0
	}
	slices.Sort(p.all)
	return p.all[len(p.all)/2]
}
