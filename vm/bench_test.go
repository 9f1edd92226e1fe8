package vm

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/nixvm/nixvm/api"
)

// manyMachines makes a house with n VMs that are off: one is created, and its files are
// copied for the others.
func manyMachines(b *testing.B, n int) house {
	b.Helper()
	home := b.TempDir()
	h, err := openHouse(home, images{}, nil, nil)
	if err != nil {
		b.Fatal(err)
	}
	op, err := h.Create(background, api.CreateParams{Name: "machine-0000", Image: "trial", NoStart: true})
	h.succeed(b, op, err)
	if err := h.Close(); err != nil {
		b.Fatal(err)
	}
	dir := func(i int) string { return filepath.Join(h.layout.Machines(), fmt.Sprintf("machine-%04d", i)) }
	for i := 1; i < n; i++ {
		name := fmt.Sprintf("machine-%04d", i)
		if err := os.CopyFS(dir(i), os.DirFS(dir(0))); err != nil {
			b.Fatal(err)
		}
		for from, to := range map[string]string{
			h.layout.Record("machine-0000"):               h.layout.Record(name),
			filepath.Join(home, "fake/machine-0000.json"): filepath.Join(home, "fake", name+".json"),
		} {
			content, err := os.ReadFile(from)
			if err == nil {
				err = os.WriteFile(to, bytes.ReplaceAll(content, []byte("machine-0000"), []byte(name)), 0o600)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	return open(b, home, images{}, nil, nil)
}

// BenchmarkList measures the list of all VMs while their states change, and a single
// one. Budgets of the design: p99 <= 1 ms with 100 VMs, <= 5 ms with 1,000.
//
//	go test ./vm -run '^$' -bench List -benchtime 3000x
func BenchmarkList(b *testing.B) {
	for _, n := range []int{100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			h := manyMachines(b, n)
			stop, stopped := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(stopped)
				tick := time.NewTicker(time.Millisecond)
				defer tick.Stop()
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					case <-tick.C:
					}
					name := fmt.Sprintf("machine-%04d", i%n)
					if err := h.fake.Cut(name, i/n%2 == 0); err != nil {
						b.Error(err)
						return
					}
				}
			}()
			var took []time.Duration
			for b.Loop() {
				began := time.Now()
				if got := len(h.List()); got != n {
					b.Fatalf("%d machines are listed", got)
				}
				took = append(took, time.Since(began))
			}
			close(stop)
			<-stopped
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2])/1e6, "p50-ms")
			b.ReportMetric(float64(took[len(took)*99/100])/1e6, "p99-ms")
		})
	}
}
