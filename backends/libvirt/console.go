package libvirt

import (
	"context"
	"io"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/console"
	"github.com/nixvm/nixvm/backends/internal/refusal"
)

// Console opens the serial console; several may be open at once. libvirt lets one
// connection in at a time: ours is there while it has clients, so that virsh console
// gets through at other times. A console that is open in virsh is vm.busy.
func (b *Backend) Console(ctx context.Context, ref backends.Ref) (io.ReadWriteCloser, error) {
	d, err := b.now(ctx, ref)
	if err != nil {
		return nil, err
	}
	if !d.running() {
		return nil, refusal.NotRunning(ref.Name)
	}
	return b.consoles.Open(ctx, ref.Name, func(ctx context.Context) (console.Line, error) { return b.openLine(ctx, d) })
}
