package vm

import (
	"sync"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
)

const (
	// diskAge is how old a size may be when machines are listed. An older one is shown all
	// the same, and measured again.
	diskAge = time.Minute
	// diskStep is by how many bytes a size has to differ for clients to be told of it.
	diskStep = 16 << 20
)

// diskMeter has the disks measured in the background: a list never waits for one.
type diskMeter struct {
	kick chan struct{} // holds a token while the disks are to be measured again

	mu      sync.Mutex
	checked time.Time
}

// again has all disks measured, unless that was done within age.
func (d *diskMeter) again(age time.Duration) {
	d.mu.Lock()
	young := time.Since(d.checked) < age
	d.mu.Unlock()
	if young {
		return
	}
	select {
	case d.kick <- struct{}{}:
	default:
	}
}

// diskSize is what a disk was found to take.
type diskSize struct {
	usage    backends.DiskUsage
	instance string // of the VM that it is of
}

func (d diskSize) wire() *api.DiskUsage {
	w := &api.DiskUsage{VirtualBytes: d.usage.Virtual, UsedBytes: d.usage.Used}
	if d.usage.Snapshots >= 0 {
		w.SnapshotBytes = &d.usage.Snapshots
	}
	return w
}
