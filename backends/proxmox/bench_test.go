package proxmox_test

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/nixvm/nixvm/backends/proxmox/pve"
	"github.com/nixvm/nixvm/backends/proxmox/pvesim"
)

// BenchmarkList500 lists 500 VMs of two nodes. heap-KiB is what the backend keeps of them,
// whose part of the daemon's memory it is.
func BenchmarkList500(b *testing.B) {
	w := newWorld(b, pvesim.Config{Nodes: []string{"pve1", "pve2"}})
	w.populate(b, 500)
	w.sim.ResetRequests()
	before := heap()
	backend := w.quiet(b)
	defer backend.Close()
	for b.Loop() {
		if list, err := backend.List(b.Context()); err != nil || len(list) != 500 {
			b.Fatal(len(list), err)
		}
	}
	w.sim.ResetRequests()
	b.ReportMetric(float64(heap()-before)/1024, "heap-KiB")
	runtime.KeepAlive(backend)
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// BenchmarkUpload is paired with curl, which uploads the same file to the same simulator.
// times is the median of curl over ours.
func BenchmarkUpload(b *testing.B) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		b.Skip("curl is not installed")
	}
	w := newWorld(b, pvesim.Config{})
	const size = 256 << 20
	file := filepath.Join(w.dir, "big.iso")
	if err := os.WriteFile(file, make([]byte, size), 0o600); err != nil {
		b.Fatal(err)
	}
	c := w.api(b)
	u := pve.Upload{Node: "pve1", Storage: "local", Content: "iso", Name: "ours.iso", Bytes: size, Open: func() (io.ReadCloser, error) { return os.Open(file) }}
	var ours, theirs []time.Duration
	timed := func(list *[]time.Duration, act func() error) {
		began := time.Now()
		if err := act(); err != nil {
			b.Fatal(err)
		}
		*list = append(*list, time.Since(began))
	}
	b.SetBytes(size)
	for b.Loop() {
		var task pve.UPID
		timed(&ours, func() (err error) {
			task, err = c.Upload(b.Context(), u, nil)
			return err
		})
		b.StopTimer()
		if err := c.Wait(b.Context(), task, nil); err != nil { // which curl does not do
			b.Fatal(err)
		}
		timed(&theirs, func() error {
			return exec.CommandContext(b.Context(), curl, "--silent", "--fail", "--cacert", w.sim.CAFile, "--output", "/dev/null",
				"--header", "Authorization: PVEAPIToken="+w.sim.Token(), "--header", "Expect:",
				"--form", "content=iso", "--form", "filename=@"+file+";filename=curl.iso", w.sim.URL+"/api2/json/nodes/pve1/storage/local/upload").Run()
		})
		b.StartTimer()
	}
	slices.Sort(ours)
	slices.Sort(theirs)
	b.ReportMetric(theirs[len(theirs)/2].Seconds()/ours[len(ours)/2].Seconds(), "times")
}
