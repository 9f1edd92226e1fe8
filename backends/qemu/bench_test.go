package qemu_test

import (
	"context"
	"testing"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/backendtest"
)

// BenchmarkLiveSnapshot measures a snapshot of a running guest, and in
// pause-ms/op how long the guest could not write (freeze to thaw; median):
//
//	NIXVM_ACCEL=tcg go test -run '^$' -bench LiveSnapshot -benchtime 20x ./backends/qemu
func BenchmarkLiveSnapshot(b *testing.B) {
	g := newGuest(b)
	pauses := &backendtest.Pauses{}
	g.log = pauses
	backend := g.open(b)
	defer backend.Close()
	ctx, cancel := context.WithTimeout(b.Context(), waitLimit)
	defer cancel()
	spec := g.Spec("bench")
	if err := backend.Create(ctx, spec, nil); err != nil {
		b.Fatal(err)
	}
	defer backend.Destroy(context.Background(), backends.Named(spec.Name))
	if err := backend.Start(ctx, spec); err != nil {
		b.Fatal(err)
	}
	for e := range backend.Events() {
		if e.Kind == backends.GuestAgentUp {
			break
		}
	}
	backendtest.BenchmarkSnapshot(b, backend, spec.Name)
	b.ReportMetric(pauses.Median().Seconds()*1000, "pause-ms/op")
}
