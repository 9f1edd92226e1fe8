package vm

import (
	"context"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/machine"
	"github.com/nixvm/nixvm/operation"
)

// uploadSteps is the step that brings an image to the host of a backend, where it has
// copies of its own; none elsewhere. It is not undone: image gc removes copies that
// nothing needs. image may return one without an id: then there is nothing to bring.
func (s *Service) uploadSteps(backend string, image func(context.Context, *operation.Run) (backends.Image, error)) []operation.Step {
	host, ok := backends.As[backends.ImageHost](s.backends[backend])
	if !ok {
		return nil
	}
	return []operation.Step{{Name: "upload", Title: "uploading the image to " + backend, Weight: 20, Do: func(ctx context.Context, r *operation.Run) error {
		img, err := image(ctx, r)
		if err != nil || img.ID == "" {
			return err
		}
		return host.PrepareImage(ctx, img, r.Report)
	}}}
}

// bringImage uploads the image of a VM that exists to where its backend has copies.
func (s *Service) bringImage(ctx context.Context, name string, r *operation.Run) error {
	for _, st := range s.uploadForStart(name) {
		if err := st.Do(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// uploadForStart is uploadSteps of a VM that exists. A mutable one has its image in
// its disk.
func (s *Service) uploadForStart(name string) []operation.Step {
	r := s.recordOf(name)
	if r == nil {
		return nil
	}
	return s.uploadSteps(r.Backend, func(context.Context, *operation.Run) (backends.Image, error) {
		m, _, err := s.realised(name)
		if err != nil || r.ModeOf(m) == machine.Mutable {
			return backends.Image{}, err
		}
		img, err := s.images.Get(r.Image.ID)
		if err != nil {
			return backends.Image{}, s.imageMissing(m, r, err)
		}
		return imageSpec(img), nil
	})
}
