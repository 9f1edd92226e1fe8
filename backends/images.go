package backends

import "context"

// ImageHost is a backend that keeps copies of images on its host, to which they
// were uploaded.
type ImageHost interface {
	// CollectImages removes the copies that no VM on the host needs, whoever's it
	// is. claim is called for each before; why = it is kept, else nobody of this
	// process begins to use it until release. With dryRun nothing is removed.
	CollectImages(ctx context.Context, claim func(id string) (why string, release func(), err error), dryRun bool) ([]ImageCopy, error)
}

// ImageCopy is what became of a copy.
type ImageCopy struct {
	ID    string
	Bytes int64
	Kept  string // why it stays; "" = it was removed
}
