package nixbuild

import (
	"context"

	"github.com/nixvm/nixvm/internal/progress"
)

// Builder makes one kind of image.
type Builder interface {
	// Kind is the word of Request.Kind: "trial", "nixos".
	Kind() string
	// Profiles lists what it can put into an image.
	Profiles() Catalogue
	// ID names the image that the request would give, before it is built: a
	// digest of all inputs. It refuses what this builder cannot build. It is
	// cheap and builds nothing.
	ID(Request) (string, error)
	// Check says which programs are missing; empty = it can build here.
	Check() []Missing
	// Build puts the image's files, without image.json, into dir, which is
	// empty, and returns what image.json shall say. A cancelled or failed build
	// may leave files in dir; the caller removes it.
	Build(ctx context.Context, req Request, dir string, report progress.Reporter) (Image, error)
}

// Discarder is a Builder whose images hold something outside of the store.
type Discarder interface {
	// Discard frees what the image held, after it has been removed. An error
	// means that it is freed some other time.
	Discard(ctx context.Context, img Image) error
}

// Noter is a Builder that has something to tell its user.
type Noter interface {
	// Notes returns sentences for people, about what waits for their hand.
	Notes() []string
}

// Missing is a program that a build needs and this machine lacks.
type Missing struct {
	Program string
	Fix     string // the command that installs it
}
