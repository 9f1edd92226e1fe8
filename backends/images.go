package backends

import (
	"context"

	"github.com/nixvm/nixvm/internal/progress"
)

// ImageHost is a backend that keeps copies of images on its host, to which they
// were uploaded.
type ImageHost interface {
	// PrepareImage uploads an image that is not there yet, and tells how far it is.
	// The core calls it before Create and before Start, which may take long
	// otherwise, or refuse with image.not_found: on their own they have no progress. It
	// may be called twice, also at once; after an error, or a cancellation, nothing
	// passes for the image.
	PrepareImage(ctx context.Context, img Image, report progress.Reporter) error

	// CollectImages removes the copies that no VM on the host needs, of any user of
	// it. claim is called for each before; why = it is kept, else no client of this
	// process begins to use it until release. With dryRun nothing is removed.
	CollectImages(ctx context.Context, claim func(id string) (why string, release func(), err error), dryRun bool) ([]ImageCopy, error)
}

// ImageCopy is what became of a copy.
type ImageCopy struct {
	ID    string
	Bytes int64
	Kept  string // why it stays; "" = it was removed
}
