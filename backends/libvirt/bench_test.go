package libvirt_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/backendtest"
	"github.com/nixvm/nixvm/backends/libvirt"
	"github.com/nixvm/nixvm/backends/libvirt/libvirttest"
)

// The benchmarks are pairs: after each of ours virsh does the same on the same
// libvirtd. virsh-ms/op is the median of virsh, times that of virsh over ours.

// pair collects the times of both sides.
type pair struct{ ours, virsh []time.Duration }

func timed(list *[]time.Duration, f func()) {
	began := time.Now()
	f()
	*list = append(*list, time.Since(began))
}

func (p *pair) report(b *testing.B) {
	ours, virsh := median(p.ours), median(p.virsh)
	b.ReportMetric(ours.Seconds()*1000, "median-ms/op")
	b.ReportMetric(virsh.Seconds()*1000, "virsh-ms/op")
	b.ReportMetric(virsh.Seconds()/ours.Seconds(), "times")
}

func median(list []time.Duration) time.Duration {
	if len(list) == 0 {
		return 0
	}
	slices.Sort(list)
	return list[len(list)/2]
}

// BenchmarkList100 lists 100 VMs; virsh list --all.
func BenchmarkList100(b *testing.B) {
	h := empty(b)
	backend, _ := h.opened(b)
	for i := range 100 {
		must(b, backend.Create(limit(b), h.vm(fmt.Sprintf("vm-%d", i)), nil))
	}
	var p pair
	for b.Loop() {
		timed(&p.ours, func() {
			if list, err := backend.List(b.Context()); err != nil || len(list) != 100 {
				b.Fatal(len(list), err)
			}
		})
		b.StopTimer()
		if len(p.virsh) < 50 {
			timed(&p.virsh, func() { h.Virsh(b, "list", "--all") })
		}
		b.StartTimer()
	}
	p.report(b)
}

// BenchmarkDefineAndStart starts a VM, which defines it; virsh define and virsh start.
func BenchmarkDefineAndStart(b *testing.B) {
	h := empty(b)
	backend, _ := h.opened(b)
	spec := h.vm("ours")
	must(b, backend.Create(limit(b), spec, nil))
	xml := filepath.Join(b.TempDir(), "domain.xml")
	must(b, os.WriteFile(xml, []byte(h.Virsh(b, "dumpxml", "--inactive", "ours")), 0o600))
	var p pair
	for b.Loop() {
		timed(&p.ours, func() { must(b, backend.Start(limit(b), spec)) })
		b.StopTimer()
		must(b, backend.Kill(limit(b), backends.Named("ours")))
		timed(&p.virsh, func() {
			h.Virsh(b, "define", xml)
			h.Virsh(b, "start", "ours")
		})
		h.Virsh(b, "destroy", "ours")
		b.StartTimer()
	}
	p.report(b)
}

// BenchmarkLiveSnapshot takes a snapshot of a running guest of 512 MiB;
// virsh snapshot-create-as, which keeps the memory too, because libvirt takes
// none without. pause-ms/op is how long the guest could not write; with virsh it
// stands still for nearly all of the time.
func BenchmarkLiveSnapshot(b *testing.B) {
	lh := libvirttest.Start(b)
	lh.StartDefaultNetwork(b)
	h := newHost(b, lh)
	pauses := &backendtest.Pauses{}
	h.log = pauses
	backend := h.openWith(b, libvirt.Config{})
	defer backend.Close()
	ctx := limit(b)
	must(b, backend.Create(ctx, h.spec("bench"), nil))
	must(b, backend.Start(ctx, h.spec("bench")))
	for e := range backend.Events() {
		if e.Kind == backends.GuestAgentUp {
			break
		}
	}
	go func() {
		for range backend.Events() { //nolint:revive // drained
		}
	}()
	var p pair
	for b.Loop() {
		timed(&p.ours, func() {
			s, err := backend.CreateSnapshot(ctx, backends.Named("bench"), backends.SnapshotRequest{Name: "ours"})
			if must(b, err); !s.Frozen {
				b.Fatal("the guest was not frozen")
			}
		})
		b.StopTimer()
		must(b, backend.DeleteSnapshot(ctx, backends.Named("bench"), "ours"))
		if len(p.virsh) < 5 {
			timed(&p.virsh, func() { h.Virsh(b, "snapshot-create-as", "bench", "virsh") })
			h.Virsh(b, "snapshot-delete", "bench", "virsh")
		}
		b.StartTimer()
	}
	p.report(b)
	b.ReportMetric(pauses.Median().Seconds()*1000, "pause-ms/op")
}
