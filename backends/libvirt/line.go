package libvirt

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"

	"github.com/nixvm/nixvm/backends/internal/console"
	"github.com/nixvm/nixvm/internal/problem"
)

// libvirt's protocol (src/rpc/virnetprotocol.x, src/remote/remote_protocol.x),
// as far as a console needs it.
const (
	headerSize     = 28 // length, program, version, procedure, type, serial, status
	remoteProgram  = 0x20008086
	remoteVersion  = 1
	openConsole    = 201 // REMOTE_PROC_DOMAIN_OPEN_CONSOLE
	typeReply      = 1
	typeStream     = 3
	statusOK       = 0
	statusContinue = 2
	consoleChunk   = 64 << 10
)

// line is the serial console of a VM on a connection of its own. go-libvirt
// delivers what the guest writes and has no way to type, so the packets for that
// are made here; and a connection whose stream is not read to its end would
// block everything else.
type line struct {
	*tap
	output *io.PipeReader
	conn   *conn
}

var _ console.Line = (*line)(nil)

// openLine opens the console of a running domain.
func (b *Backend) openLine(ctx context.Context, d domain) (*line, error) {
	limited, cancel := context.WithTimeout(ctx, b.limits.connect)
	defer cancel()
	stream, err := b.link.dial(limited)
	if err != nil {
		return nil, b.target.unreachable(err)
	}
	w := &wire{Conn: stream, lost: make(chan struct{})}
	t := &tap{wire: w, opened: make(chan struct{})}
	c, err := speak(limited, t, w, b.target.Remote)
	if err != nil {
		return nil, b.target.unreachable(err)
	}
	output, input := io.Pipe()
	failed := make(chan error, 1)
	go func() {
		err := c.l.DomainOpenConsole(d.dom, nil, swallow{input}, 0)
		failed <- err
		c.close()
		input.CloseWithError(io.EOF)
	}()
	select {
	case <-t.opened:
		return &line{tap: t, output: output, conn: c}, nil
	case err = <-failed:
	case <-limited.Done():
		err = context.Cause(limited)
	}
	c.close()
	output.Close()
	if hasCode(err, golibvirt.ErrOperationFailed) {
		return nil, problem.New(problem.VMBusy, "the console of VM %s is in use: %w", d.mark.Name, err).
			WithHint("close virsh console").Retry()
	}
	return nil, err
}

func (l *line) Read(p []byte) (int, error) { return l.output.Read(p) }

// Write types into the guest.
func (l *line) Write(p []byte) (int, error) {
	sent := 0
	for len(p) > 0 {
		n := min(len(p), consoleChunk)
		if err := l.send(p[:n]); err != nil {
			return sent, err
		}
		sent, p = sent+n, p[n:]
	}
	return sent, nil
}

func (l *line) SetWriteDeadline(t time.Time) error { return l.wire.SetWriteDeadline(t) }

func (l *line) Close() error {
	l.conn.close()
	return l.output.Close()
}

// swallow never fails: go-libvirt deadlocks when the reader of a stream gives
// up before its end.
type swallow struct{ *io.PipeWriter }

func (s swallow) Write(p []byte) (int, error) {
	_, _ = s.PipeWriter.Write(p)
	return len(p), nil
}

// tap is the connection as go-libvirt sees it. It learns the serial number of
// the console's stream, and when libvirtd has opened it.
type tap struct {
	*wire
	opened chan struct{}
	once   sync.Once // closes opened: what a libvirtd answers twice was open before

	reading struct { // of the packets that come in
		header [headerSize]byte
		have   int    // bytes of the header
		skip   uint32 // bytes of the payload that are still to come
	}
	writing sync.Mutex // guards serial, and keeps packets whole
	serial  uint32
}

var _ net.Conn = (*tap)(nil)

func (t *tap) Read(p []byte) (int, error) {
	n, err := t.wire.Read(p)
	t.watch(p[:n])
	return n, err
}

// watch follows the packets, in any fragmentation.
func (t *tap) watch(p []byte) {
	r := &t.reading
	for len(p) > 0 {
		if r.skip > 0 {
			n := min(uint32(len(p)), r.skip)
			r.skip -= n
			p = p[n:]
			continue
		}
		n := copy(r.header[r.have:], p)
		r.have += n
		p = p[n:]
		if r.have < headerSize {
			return
		}
		r.have = 0
		field := func(i int) uint32 { return binary.BigEndian.Uint32(r.header[4*i:]) }
		r.skip = max(field(0), headerSize) - headerSize
		if field(1) == remoteProgram && field(3) == openConsole && field(4) == typeReply && field(6) == statusOK {
			t.once.Do(func() { close(t.opened) })
		}
	}
}

// Write passes a packet of go-libvirt on, which writes each in one piece.
func (t *tap) Write(p []byte) (int, error) {
	t.writing.Lock()
	defer t.writing.Unlock()
	if len(p) >= headerSize && binary.BigEndian.Uint32(p[12:]) == openConsole {
		t.serial = binary.BigEndian.Uint32(p[20:])
	}
	return t.wire.Write(p)
}

// send sends data on the stream.
func (t *tap) send(data []byte) error {
	t.writing.Lock()
	defer t.writing.Unlock()
	_, err := t.wire.Write(pack(openConsole, typeStream, t.serial, statusContinue, data))
	if errors.Is(err, net.ErrClosed) {
		return io.ErrClosedPipe
	}
	return err
}
