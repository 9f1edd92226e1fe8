package libvirt

import (
	"context"
	"errors"
	"io"

	golibvirt "github.com/digitalocean/go-libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/qcow2"
	"github.com/nixvm/nixvm/backends/internal/transfer"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
)

// export downloads the parts of the volume that are needed: what a volume contains for
// libvirt is the qcow2 file, not the disk in it.
func (s *poolStorage) export(ctx context.Context, from backends.Source, read func(backends.Disk) error) error {
	p, err := s.pool(ctx, nil)
	if err != nil {
		return err
	}
	state, _, err := s.stateDisk(ctx, p, from.VM.Name)
	if err != nil {
		return err
	}
	image, base, err := s.backing(ctx, state)
	if err != nil {
		return err
	}
	return s.transfer(ctx, func(c *streams) error {
		var below *qcow2.Image
		switch {
		case base == nil:
		case base.Format != nil && base.Format.Type == "raw":
			size, err := s.capacity(ctx, image)
			if err != nil {
				return err
			}
			below = qcow2.Raw(c.reader(image), size)
		default:
			if below, err = qcow2.Open(c.reader(image), ""); err != nil {
				return err
			}
		}
		return transfer.Export(c.reader(state), below, from, read)
	})
}

// backing is the volume that one is an overlay on; nil: none.
func (s *poolStorage) backing(ctx context.Context, v golibvirt.StorageVol) (golibvirt.StorageVol, *libvirtxml.StorageVolumeBackingStore, error) {
	var x libvirtxml.StorageVolume
	base, err := ask(ctx, s.b, func(l *golibvirt.Libvirt) (base golibvirt.StorageVol, err error) {
		text, err := l.StorageVolGetXMLDesc(v, 0)
		if err == nil {
			err = x.Unmarshal(text)
		}
		if err == nil && x.BackingStore != nil {
			base, err = l.StorageVolLookupByPath(x.BackingStore.Path)
		}
		return base, err
	})
	return base, x.BackingStore, err
}

// receive uploads the image as it comes.
func (s *poolStorage) receive(ctx context.Context, spec backends.Spec, disk backends.Disk, report progress.Reporter) (disks, error) {
	return s.build(ctx, spec, report, func(p golibvirt.StoragePool, name string) (golibvirt.StorageVol, error) {
		return s.receiveVolume(ctx, p, name, disk, spec.DiskBytes, report)
	})
}

// build makes the volumes of a VM whose state disk, made by state, comes from elsewhere.
func (s *poolStorage) build(ctx context.Context, spec backends.Spec, report progress.Reporter, state func(p golibvirt.StoragePool, name string) (golibvirt.StorageVol, error)) (d disks, err error) {
	p, err := s.pool(ctx, report)
	if err != nil {
		return d, err
	}
	name, err := s.fresh(ctx, p, spec.Name)
	if err != nil {
		return d, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.remove(context.WithoutCancel(ctx), spec.Name))
		}
	}()
	paths := map[string]string{}
	if !spec.Mutable { // the disk of a mutable one holds its image
		if paths, err = s.ensureImage(ctx, p, spec.Image, report); err != nil {
			return d, err
		}
	}
	v, err := state(p, name)
	if err != nil {
		return d, err
	}
	return s.ready(ctx, p, spec, v, paths)
}

// spare is what is needed in a pool beside a disk, in bytes.
const spare = 64 << 20

// receiveVolume makes a volume of a disk from elsewhere, which grows to size. On error
// there is none.
func (s *poolStorage) receiveVolume(ctx context.Context, p golibvirt.StoragePool, name string, disk backends.Disk, size int64, report progress.Reporter) (golibvirt.StorageVol, error) {
	if free, err := s.available(ctx); err != nil {
		return golibvirt.StorageVol{}, err
	} else if free < disk.Bytes+spare {
		return golibvirt.StorageVol{}, problem.New(problem.DiskFull, "the storage pool %s has %d MiB free; %d MiB are needed", s.name, free>>20, (disk.Bytes+spare)>>20+1).
			WithHint("free some space in the pool")
	}
	v, err := s.makeVolume(ctx, p, name, "qcow2", uint64(disk.Size), nil)
	if err != nil {
		return v, err
	}
	err = s.transfer(ctx, func(c *streams) error {
		return c.upload(v, disk.Bytes, func(w io.Writer) error { return transfer.Receive(ctx, w, disk, report) })
	})
	if err == nil && size > disk.Size {
		err = s.resize(ctx, v, size)
	}
	if err != nil {
		err = errors.Join(err, s.dropWritten(context.WithoutCancel(ctx), p, name))
	}
	return v, err
}
