package qemu

import (
	"context"

	"github.com/nixvm/nixvm/backends"
)

// SetAutostart is refused: nothing of this backend runs before the user does.
func (b *Backend) SetAutostart(context.Context, string, bool) error {
	return backends.NoAutostart(b.Name())
}
