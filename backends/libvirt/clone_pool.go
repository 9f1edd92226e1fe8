package libvirt

import (
	"context"
	"sync"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/internal/progress"
)

// copyLimit bounds the copy of a volume, which libvirtd makes in one call.
const copyLimit = 12 * time.Hour

// clone lets libvirtd copy the volume, on its host. It has no request for a snapshot
// within a volume: that is downloaded and uploaded again.
func (s *poolStorage) clone(ctx context.Context, from backends.Source, _ bool, spec backends.Spec, report progress.Reporter) (d disks, err error) {
	report.Message("disk", "copying the disk")
	if from.Snapshot != "" {
		err := s.export(ctx, from, func(disk backends.Disk) (err error) {
			if err := backends.CheckCopySize(from.VM.Name, disk.Size, spec.DiskBytes); err != nil {
				return err
			}
			d, err = s.receive(ctx, spec, disk, report)
			return err
		})
		return d, err
	}
	p, err := s.pool(ctx, report)
	if err != nil {
		return d, err
	}
	source, size, err := s.stateDisk(ctx, p, from.VM.Name)
	if err == nil {
		err = backends.CheckCopySize(from.VM.Name, size, spec.DiskBytes)
	}
	if err != nil {
		return d, err
	}
	return s.build(ctx, spec, report, func(p golibvirt.StoragePool, name string) (golibvirt.StorageVol, error) {
		stop := s.watchCopy(ctx, p, source, name, report)
		state, err := s.copyVolume(ctx, p, source, name, size)
		stop()
		if err == nil && spec.DiskBytes > size {
			err = s.resize(ctx, state, spec.DiskBytes)
		}
		return state, refusal.DiskFull(err)
	})
}

// copyVolume makes a volume with the content of another one, without its
// snapshots. What lies in a backing image is copied too: libvirt 9 does not pass
// a backing file on to qemu-img convert. It does not give up a copy that it has
// begun either, so neither do we: a cancelled request waits for its end.
func (s *poolStorage) copyVolume(ctx context.Context, p golibvirt.StoragePool, source golibvirt.StorageVol, name string, size int64) (golibvirt.StorageVol, error) {
	if err := ctx.Err(); err != nil {
		return golibvirt.StorageVol{}, context.Cause(ctx)
	}
	text, err := volumeXML(name, "qcow2", uint64(size), nil)
	if err != nil {
		return golibvirt.StorageVol{}, err
	}
	made, err := askFor(context.WithoutCancel(ctx), s.b, copyLimit, func(l *golibvirt.Libvirt) (golibvirt.StorageVol, error) {
		return l.StorageVolCreateXMLFrom(p, text, source, 0)
	})
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return made, err
}

// watchCopy reports how far a copy is, until stop is called: libvirtd does not
// say, but the volume grows.
func (s *poolStorage) watchCopy(ctx context.Context, p golibvirt.StoragePool, source golibvirt.StorageVol, name string, report progress.Reporter) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		total, err := s.allocation(ctx, source)
		tick := time.NewTicker(watchPause)
		defer tick.Stop()
		for err == nil {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			if v, ok, err := s.volume(ctx, p, name); ok && err == nil {
				if n, err := s.allocation(ctx, v); err == nil {
					report.Report(progress.Update{Vertex: "disk", Message: "copying the disk", Unit: "bytes", Current: min(n, total), Total: total})
				}
			}
		}
	})
	return func() {
		cancel()
		watch.Wait()
	}
}

// watchPause spaces the looks at a volume that grows.
const watchPause = time.Second

// allocation is how many bytes a volume takes.
func (s *poolStorage) allocation(ctx context.Context, v golibvirt.StorageVol) (int64, error) {
	return ask(ctx, s.b, func(l *golibvirt.Libvirt) (int64, error) {
		_, _, allocation, err := l.StorageVolGetInfo(v)
		return int64(allocation), err
	})
}
