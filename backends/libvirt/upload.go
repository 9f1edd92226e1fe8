package libvirt

import (
	"bytes"
	"context"
	"io"
	"os"
	"regexp"
	"sync"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
)

// send writes a volume's content, over a connection of its own: nothing else
// waits behind it, and closing that connection is how it is cancelled.
//
// go-libvirt waits for good when the sender of a stream has ended before the
// error of libvirtd arrives. So it is not waited for, and what it sends comes
// through a gate: closed, it gives nothing more and does not end either.
func (s *poolStorage) send(ctx context.Context, v golibvirt.StorageVol, from io.Reader, bytes int64) error {
	limited, cancel := context.WithTimeout(ctx, s.b.limits.connect)
	defer cancel()
	c, err := connect(limited, s.b.link.dial, s.b.target.Remote)
	if err != nil {
		return err
	}
	defer c.close()
	g := &gate{from: from, ended: make(chan struct{}), broken: c.wire.lost}
	defer g.close()
	done := make(chan error, 1)
	go func() { done <- c.l.StorageVolUpload(v, g, 0, uint64(bytes), 0) }()
	ended := g.ended
	var silent <-chan time.Time
	for {
		select {
		case err := <-done:
			return refusal.DiskFull(err)
		case <-ended: // libvirtd confirms, or has an error that is not read
			ended, silent = nil, time.After(s.b.limits.start)
		case <-silent:
			return problem.New(problem.BackendUnreachable, "libvirtd did not confirm the upload of %s", v.Name).Retry().WithHint("check the free space in the pool %s", s.name)
		case <-c.wire.lost:
			return errLost
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// gate passes reads on until it is closed.
type gate struct {
	mu     sync.Mutex
	from   io.Reader
	closed bool
	ended  chan struct{} // closed when everything has been read
	broken <-chan struct{}
	once   sync.Once
}

func (g *gate) Read(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		<-g.broken // soon go-libvirt learns it, too, and asks no more
		return 0, nil
	}
	n, err := g.from.Read(p)
	if err != nil {
		g.once.Do(func() { close(g.ended) })
	}
	return n, err
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
}

// counter reports how much has been read.
type counter struct {
	from   io.Reader
	report progress.Reporter
	update progress.Update
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	c.update.Current += int64(n)
	c.report.Report(c.update)
	return n, err
}

// validID is what an image's id may be to become a volume's name.
var validID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

// imageVolumes are the volumes of an image: file here, name there. The last one
// is made when all others are complete; without it they are not.
func imageVolumes(i backends.Image) (files map[string]string, complete string, err error) {
	if !validID.MatchString(i.ID) {
		return nil, "", problem.New(problem.ImageUnsupported, "%q cannot be used as the name of a volume", i.ID)
	}
	base := imageName(i.ID)
	files = map[string]string{base + "disk": i.Disk}
	if i.Kernel != "" {
		files[base+"kernel"] = i.Kernel
	}
	if i.Initrd != "" {
		files[base+"initrd"] = i.Initrd
	}
	return files, base + "complete", nil
}

// ensureImage uploads an image unless the host has it, and returns the paths there by
// the paths here.
func (s *poolStorage) ensureImage(ctx context.Context, p golibvirt.StoragePool, i backends.Image, report progress.Reporter) (map[string]string, error) {
	files, complete, err := imageVolumes(i)
	if err != nil {
		return nil, err
	}
	if err := s.uploading.Lock(ctx); err != nil { // two VMs of one image: the second waits, and finds it there
		return nil, err
	}
	defer s.uploading.Unlock()
	_, there, err := s.volume(ctx, p, complete)
	if err == nil && !there { // another host of a shared pool may have brought it
		if err = s.rescan(ctx, p); err == nil {
			_, there, err = s.volume(ctx, p, complete)
		}
	}
	if err != nil {
		return nil, err
	}
	paths := map[string]string{}
	for name, file := range files {
		v, ok, err := s.volume(ctx, p, name)
		if err == nil && (!there || !ok) {
			v, err = s.upload(ctx, p, name, file, report)
		}
		if err != nil {
			return nil, err
		}
		if paths[file], err = s.path(ctx, v); err != nil {
			return nil, err
		}
	}
	if !there {
		_, err = s.makeVolume(ctx, p, complete, "raw", 512, nil)
		if hasCode(err, golibvirt.ErrStorageVolExist) {
			err = nil
		}
	}
	return paths, err
}

// upload makes a volume of a file, in the place of one that is not complete.
func (s *poolStorage) upload(ctx context.Context, p golibvirt.StoragePool, name, file string, report progress.Reporter) (golibvirt.StorageVol, error) {
	none := golibvirt.StorageVol{}
	f, err := os.Open(file)
	if err != nil {
		return none, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return none, err
	}
	if err := s.dropVolume(ctx, p, name); err != nil {
		if hasCode(err, golibvirt.ErrOperationInvalid) {
			return none, problem.New(problem.BackendUnreachable, "the volume %s is being uploaded by another client", name).Retry().WithHint("wait until it is complete, and try again")
		}
		return none, err
	}
	v, err := s.makeVolume(ctx, p, name, "raw", uint64(st.Size()), nil)
	if err != nil {
		return none, err
	}
	c := &counter{from: f, report: report, update: progress.Update{
		Vertex: "upload", Message: "uploading the image to " + s.b.target.where(), Total: st.Size(), Unit: "bytes",
	}}
	if err := s.send(ctx, v, c, st.Size()); err != nil {
		return none, err
	}
	report.Report(progress.Update{Vertex: "upload", Done: true})
	return v, nil
}

// put replaces a volume by a small one with this content.
func (s *poolStorage) put(ctx context.Context, p golibvirt.StoragePool, name string, content []byte) (string, error) {
	if err := s.dropVolume(ctx, p, name); err != nil {
		return "", err
	}
	v, err := s.makeVolume(ctx, p, name, "raw", uint64(len(content)), nil)
	if err == nil {
		err = s.send(ctx, v, bytes.NewReader(content), int64(len(content)))
	}
	if err != nil {
		return "", err
	}
	return s.path(ctx, v)
}
