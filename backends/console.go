package backends

import (
	"context"
	"io"
)

// Console is a Backend with serial consoles.
type Console interface {
	// Console opens the serial console. Several may be open at once.
	Console(ctx context.Context, vm Ref) (io.ReadWriteCloser, error)
}
