package libvirt

import (
	"context"
	"errors"
	"io"

	golibvirt "github.com/digitalocean/go-libvirt"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/backends/internal/transfer"
	"github.com/nixvm/nixvm/internal/progress"
)

// receive uploads the image into a volume: what is uploaded to a qcow2 volume is the
// file. It goes through a pipe, since what is no disk must be noticed before the upload
// is complete.
func (s *poolStorage) receive(ctx context.Context, spec backends.Spec, disk backends.Disk, report progress.Reporter) (d disks, err error) {
	p, err := s.pool(ctx, report)
	if err != nil {
		return d, err
	}
	if err := s.checkHome(ctx, p, spec.Name); err != nil {
		return d, err
	}
	if err := s.remove(ctx, spec.Name); err != nil { // what a crash left
		return d, err
	}
	if err := s.markHome(ctx, p, spec.Name, s.b.config.Name); err != nil {
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
	state, err := s.makeVolume(ctx, p, s.prefix(spec.Name)+"state", "qcow2", uint64(disk.Size), nil)
	if err != nil {
		return d, err
	}
	if err := s.sendDisk(ctx, state, disk, report); err != nil {
		return d, err
	}
	if spec.DiskBytes > disk.Size {
		if err := s.resize(ctx, state, spec.DiskBytes); err != nil {
			return d, refusal.DiskFull(err)
		}
	}
	return s.ready(ctx, p, spec, state, paths)
}

// sendDisk uploads a disk that is checked on its way.
func (s *poolStorage) sendDisk(ctx context.Context, v golibvirt.StorageVol, disk backends.Disk, report progress.Reporter) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r, w := io.Pipe()
	checked := make(chan error, 1)
	go func() {
		err := transfer.Receive(ctx, w, disk, report)
		if err != nil {
			cancel(err) // the upload, which does not hear of it otherwise
		} else {
			w.Close()
		}
		checked <- err
	}()
	err := s.send(ctx, v, r, disk.Bytes)
	r.CloseWithError(errUploadEnded)
	if wrong := <-checked; wrong != nil && !errors.Is(wrong, errUploadEnded) {
		return wrong
	}
	return err
}

// errUploadEnded is what the sender of an upload that has failed gets.
var errUploadEnded = errors.New("the upload has ended")

func (s *poolStorage) open(ctx context.Context, name string) (diskFile, error) {
	p, err := s.pool(ctx, nil)
	if err != nil {
		return nil, err
	}
	v, _, err := s.stateDisk(ctx, p, name)
	if err != nil {
		return nil, err
	}
	return &volumeFile{ctx: ctx, s: s, volume: v}, nil
}

// volumeFile reads a volume in parts, each over a connection of its own: go-libvirt does
// not finish the stream of a download, after which libvirtd answers to no other.
type volumeFile struct {
	ctx    context.Context //nolint:containedctx // io.ReaderAt has no other way
	s      *poolStorage
	volume golibvirt.StorageVol
}

// ReadAt implements io.ReaderAt.
func (f *volumeFile) ReadAt(p []byte, at int64) (int, error) {
	limited, cancel := context.WithTimeout(f.ctx, f.s.b.limits.connect)
	defer cancel()
	c, err := connect(limited, f.s.b.link.dial, f.s.b.target.Remote)
	if err != nil {
		return 0, f.s.b.target.unreachable(err)
	}
	defer c.close()
	got, err := call(f.ctx, c, f.s.b.limits.start, func(l *golibvirt.Libvirt) ([]byte, error) {
		part := &part{most: len(p)}
		err := l.StorageVolDownload(f.volume, part, uint64(at), uint64(len(p)), 0)
		return part.data, err
	})
	if err != nil {
		return 0, err
	}
	if n := copy(p, got); n < len(p) {
		return n, io.EOF
	}
	return len(p), nil
}

// Close does nothing: no connection is left.
func (f *volumeFile) Close() error { return nil }

// part takes what is downloaded, and no more than was asked for. A download that is
// given up writes to it after its end.
type part struct {
	data []byte
	most int
}

func (p *part) Write(b []byte) (int, error) {
	if len(p.data)+len(b) > p.most {
		return 0, io.ErrShortWrite
	}
	p.data = append(p.data, b...)
	return len(b), nil
}
