package fake

import (
	"context"
	"os"
	"path/filepath"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/atomicfile"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
)

func (b *Backend) imageFile(id string) string { return filepath.Join(b.config.Dir, "images", id) }

// PrepareImage uploads an image to a cluster, in parts that take their time.
func (b *Backend) PrepareImage(ctx context.Context, img backends.Image, report progress.Reporter) error {
	if b.config.Fault != nil {
		if err := b.config.Fault("upload", img.ID); err != nil {
			return err
		}
	}
	if err := b.checkUploaded(img.ID); err == nil {
		return nil
	}
	if err := backends.CheckImage(img); err != nil {
		return err
	}
	const parts = 4
	for n := range int64(parts) {
		if err := b.cluster.trip(ctx); err != nil {
			return err
		}
		report.Report(progress.Update{Vertex: "upload", Current: n + 1, Total: parts})
	}
	if err := os.MkdirAll(filepath.Dir(b.imageFile(img.ID)), 0o700); err != nil {
		return err
	}
	return atomicfile.Write(b.imageFile(img.ID), nil, 0o600)
}

// checkUploaded refuses an image that a cluster does not have.
func (b *Backend) checkUploaded(id string) error {
	if b.cluster == nil {
		return nil
	}
	if _, err := os.Stat(b.imageFile(id)); err != nil {
		return problem.New(problem.ImageNotFound, "the cluster has no image %s", id).WithHint("it must be uploaded first")
	}
	return nil
}

// CollectImages removes the images that no guest has.
func (b *Backend) CollectImages(ctx context.Context, claim func(id string) (string, func(), error), dryRun bool) ([]backends.ImageCopy, error) {
	if err := b.cluster.trip(ctx); err != nil {
		return nil, err
	}
	files, err := filepath.Glob(b.imageFile("*"))
	if err != nil {
		return nil, err
	}
	var copies []backends.ImageCopy
	for _, file := range files {
		one := backends.ImageCopy{ID: filepath.Base(file)}
		kept, release, err := claim(one.ID)
		if err != nil {
			return copies, err
		}
		if one.Kept = kept; kept == "" {
			if !dryRun {
				err = os.Remove(file)
			}
			release()
		}
		if copies = append(copies, one); err != nil {
			return copies, err
		}
	}
	return copies, nil
}
