package qemu

import (
	"context"
	"fmt"
	"io"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/console"
	"github.com/nixvm/nixvm/internal/rotate"
)

// serialLimit is when serial.log is put aside as serial.log.old: the guest
// decides how much it writes, we decide how much stays.
const serialLimit = 1 << 20

// Console opens the serial console of a running VM; several may be open. It
// begins with what was written last. A client that does not read loses its
// connection, not the others' output.
func (b *Backend) Console(_ context.Context, ref backends.Ref) (io.ReadWriteCloser, error) {
	inst, err := b.running(ref)
	if err != nil {
		return nil, err
	}
	return inst.console.Attach(), nil
}

// openConsole connects to the serial port; what comes goes to serial.log and to
// every client.
func openConsole(ctx context.Context, f vmFiles, s sockets) (*console.Shared, error) {
	conn, err := dialSocket(ctx, s.path(consoleSocket))
	if err != nil {
		return nil, fmt.Errorf("serial console: %w", err)
	}
	return console.New(conn, serialLog(f)), nil
}

// serialLog is a convenience: when the disk is full it loses output and nothing else.
func serialLog(f vmFiles) *rotate.File {
	return &rotate.File{Path: f.path(serialFile), Old: f.path(oldSerial), Limit: serialLimit}
}
