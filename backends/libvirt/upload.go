package libvirt

import (
	"bytes"
	"context"
	"io"
	"os"
	"regexp"

	golibvirt "github.com/digitalocean/go-libvirt"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
)

// send writes a volume's content.
func (s *poolStorage) send(ctx context.Context, v golibvirt.StorageVol, from io.Reader, bytes int64) error {
	return s.transfer(ctx, func(to *streams) error {
		return to.upload(v, bytes, func(w io.Writer) error {
			_, err := io.CopyBuffer(w, from, make([]byte, streamChunk))
			return err
		})
	})
}

// transfer calls f with a connection for the content of volumes.
func (s *poolStorage) transfer(ctx context.Context, f func(*streams) error) error {
	c, err := s.b.openStreams(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	return refusal.DiskFull(f(c))
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
