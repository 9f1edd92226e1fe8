package qemu

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/nixvm/nixvm/backends/internal/console"
)

// serialLimit is when serial.log is put aside as serial.log.old: the guest
// decides how much it writes, we decide how much stays.
const serialLimit = 1 << 20

// Console opens the serial console of a running VM; several may be open. It
// begins with what was written last. A client that does not read loses its
// connection, not the others' output.
func (b *Backend) Console(_ context.Context, name string) (io.ReadWriteCloser, error) {
	inst, err := b.running(name)
	if err != nil {
		return nil, err
	}
	return inst.console.Attach(), nil
}

// openConsole connects to the serial port; what comes goes to serial.log and to
// every client.
func openConsole(ctx context.Context, f vmFiles) (*console.Hub, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", f.socket(consoleSocket))
	if err != nil {
		return nil, fmt.Errorf("serial console: %w", err)
	}
	return console.New(conn, &serialLog{path: f.path(serialFile), old: f.path(oldSerial)}), nil
}

// serialLog appends to a file and puts it aside at serialLimit. It is a
// convenience: when the disk is full it loses output and nothing else.
type serialLog struct {
	path, old string
	file      *os.File
	size      int64
}

func (l *serialLog) Write(p []byte) (int, error) {
	if err := l.open(); err != nil {
		return 0, err
	}
	n, err := l.file.Write(p)
	if l.size += int64(n); l.size >= serialLimit {
		_ = l.Close()
		_ = os.Rename(l.path, l.old)
	}
	return n, err
}

func (l *serialLog) open() error {
	if l.file != nil {
		return nil
	}
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	l.file = f
	if st, err := f.Stat(); err == nil {
		l.size = st.Size()
	}
	return nil
}

func (l *serialLog) Close() error {
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}
