package libvirt

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"

	"github.com/nixvm/nixvm/internal/problem"
)

// libvirt's protocol, as far as the content of volumes needs it; more is in line.go.
const (
	uploadVolume   = 208 // REMOTE_PROC_STORAGE_VOL_UPLOAD
	downloadVolume = 209 // REMOTE_PROC_STORAGE_VOL_DOWNLOAD
	typeCall       = 0
	statusError    = 1
	streamChunk    = 240 << 10 // of data in a packet; libvirtd takes 262120 bytes
	maxPacket      = 32 << 20  // VIR_NET_MESSAGE_MAX
)

// streams transfers the content of volumes, one after the other, over a connection of
// its own. go-libvirt opens the connection and is not used for more: it takes the first
// packet for the reply to a call, which may be one of the stream, and never finishes the
// stream of a download; either can block the connection for good. Its uploads wait forever
// if libvirtd refuses one half-way. Closing the connection is how a
// transfer is cancelled; libvirtd gives the volume up then.
type streams struct {
	*diverter
	ctx    context.Context //nolint:containedctx // io.ReaderAt and io.Writer have no other way
	b      *Backend
	conn   *conn
	cancel func() bool // of closing with ctx
	serial uint32
	early  []packet // of the stream, that came before the reply to the call
}

// openStreams connects; the caller closes. Everything ends with ctx.
func (b *Backend) openStreams(ctx context.Context) (*streams, error) {
	limited, cancel := context.WithTimeout(ctx, b.limits.connect)
	defer cancel()
	stream, err := b.link.dial(limited)
	if err != nil {
		return nil, err
	}
	d := &diverter{wire: &wire{Conn: stream, lost: make(chan struct{})}, in: make(chan packet), done: make(chan struct{})}
	c, err := speak(limited, d, d.wire, b.target.Remote)
	if err != nil {
		return nil, err
	}
	// Far from the numbers of go-libvirt, which begin with 1.
	return &streams{diverter: d, ctx: ctx, b: b, conn: c, cancel: context.AfterFunc(ctx, c.close), serial: 1 << 30}, nil
}

func (s *streams) close() {
	s.cancel()
	s.once.Do(func() { close(s.done) })
	s.conn.close()
}

// begin calls a procedure with a part of a volume, which opens a stream.
func (s *streams) begin(procedure uint32, v golibvirt.StorageVol, at, bytes int64) error {
	s.serial++
	var args []byte
	for _, text := range []string{v.Pool, v.Name, v.Key} {
		args = binary.BigEndian.AppendUint32(args, uint32(len(text)))
		args = append(args, text...)
		args = append(args, make([]byte, -len(text)&3)...)
	}
	args = binary.BigEndian.AppendUint64(args, uint64(at))
	args = binary.BigEndian.AppendUint64(args, uint64(bytes))
	args = binary.BigEndian.AppendUint32(args, 0) // flags
	if err := s.send(procedure, typeCall, statusOK, args); err != nil {
		return err
	}
	// Two threads of libvirtd race: the stream's first packets may come before the reply.
	// There are few of them: libvirtd sends no more than some before it has replied.
	s.early = nil
	var early []packet
	for {
		k, err := s.next(s.b.limits.call)
		if err != nil {
			return err
		}
		if k.kind == typeReply {
			s.early = early
			return nil
		}
		early = append(early, k)
	}
}

// finish ends a stream, and waits until libvirtd has confirmed that all is written.
func (s *streams) finish(procedure uint32) error {
	if err := s.send(procedure, typeStream, statusOK, nil); err != nil {
		return err
	}
	for {
		k, err := s.next(s.b.limits.start)
		if err != nil || k.status == statusOK {
			return err
		}
	}
}

// next is the next packet from libvirtd; one that is an error is returned as such.
func (s *streams) next(limit time.Duration) (packet, error) {
	if len(s.early) > 0 {
		k := s.early[0]
		s.early = s.early[1:]
		return k, nil
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		select {
		case k := <-s.in:
			switch {
			case k.serial != s.serial: // of a stream that has ended
			case k.status == statusError:
				return k, k.problem()
			default:
				return k, nil
			}
		case <-s.wire.lost:
			return packet{}, s.lost()
		case <-timer.C:
			return packet{}, s.b.target.silent()
		}
	}
}

// lost says why there is no connection any more.
func (s *streams) lost() error {
	if s.ctx.Err() != nil {
		return context.Cause(s.ctx)
	}
	return errLost
}

func (s *streams) send(procedure, kind, status uint32, data []byte) error {
	// A libvirtd that takes nothing more is as good as dead.
	_ = s.wire.SetWriteDeadline(time.Now().Add(s.b.limits.start))
	if _, err := s.wire.Write(pack(procedure, kind, s.serial, status, data)); err != nil {
		return s.lost()
	}
	return nil
}

// reader reads a volume in parts, each of them downloaded when it is asked for.
func (s *streams) reader(v golibvirt.StorageVol) io.ReaderAt { return volumeReader{s, v} }

type volumeReader struct {
	*streams
	volume golibvirt.StorageVol
}

// ReadAt implements io.ReaderAt; unlike others it must not be called at once.
func (r volumeReader) ReadAt(p []byte, at int64) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := r.begin(downloadVolume, r.volume, at, int64(len(p))); err != nil {
		return 0, fmt.Errorf("download the volume %s: %w", r.volume.Name, err)
	}
	n := 0
	for {
		k, err := r.next(r.b.limits.call)
		if err != nil {
			return n, fmt.Errorf("download the volume %s: %w", r.volume.Name, err)
		}
		if len(k.payload) == 0 {
			break
		}
		if len(k.payload) > len(p)-n {
			r.close()
			return n, problem.New(problem.BackendUnreachable, "libvirtd sends more of the volume %s than it was asked for", r.volume.Name)
		}
		n += copy(p[n:], k.payload)
	}
	if err := r.finish(downloadVolume); err != nil {
		return n, fmt.Errorf("download the volume %s: %w", r.volume.Name, err)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// upload makes the first bytes of a volume what write writes.
func (s *streams) upload(v golibvirt.StorageVol, bytes int64, write func(io.Writer) error) error {
	err := s.begin(uploadVolume, v, 0, bytes)
	if err == nil {
		err = write(volumeWriter{s})
	}
	if err == nil {
		err = s.finish(uploadVolume)
	}
	return err
}

type volumeWriter struct{ *streams }

// Write implements io.Writer. What libvirtd cannot write it says at some time later.
func (w volumeWriter) Write(p []byte) (int, error) {
	sent := 0
	for sent < len(p) {
		select {
		case k := <-w.in:
			if k.serial == w.serial && k.status == statusError {
				return sent, k.problem()
			}
		default:
		}
		n := min(len(p)-sent, streamChunk)
		if err := w.send(uploadVolume, typeStream, statusContinue, p[sent:sent+n]); err != nil {
			return sent, err
		}
		sent += n
	}
	return sent, nil
}

// pack makes a packet.
func pack(procedure, kind, serial, status uint32, data []byte) []byte {
	p := make([]byte, 0, headerSize+len(data))
	for _, field := range []uint32{uint32(headerSize + len(data)), remoteProgram, remoteVersion, procedure, kind, serial, status} {
		p = binary.BigEndian.AppendUint32(p, field)
	}
	return append(p, data...)
}

// packet is one from libvirtd.
type packet struct {
	kind, serial, status uint32
	payload              []byte
}

// problem is the error that a packet holds (remote_error in remote_protocol.x).
func (k packet) problem() error {
	p := k.payload
	field := func(i int) uint32 {
		if len(p) < 4*i+4 {
			return 0
		}
		return binary.BigEndian.Uint32(p[4*i:])
	}
	e := golibvirt.Error{Code: field(0), Message: "libvirtd gives no reason"}
	if n := int(field(3)); field(2) != 0 && n <= len(p)-16 {
		e.Message = string(p[16 : 16+n])
	}
	return e
}

// diverter is a connection as go-libvirt sees it: without the packets of our streams.
type diverter struct {
	*wire
	in   chan packet   // packets of our streams
	done chan struct{} // closed when nothing more is read from it
	once sync.Once

	head []byte // of a packet for go-libvirt: what it has not read yet
	rest int64  // of its payload
}

// Read implements io.Reader for go-libvirt.
func (d *diverter) Read(p []byte) (int, error) {
	for len(d.head) == 0 && d.rest == 0 {
		if err := d.divert(); err != nil {
			return 0, err
		}
	}
	if len(d.head) > 0 {
		n := copy(p, d.head)
		d.head = d.head[n:]
		return n, nil
	}
	n, err := d.wire.Read(p[:min(int64(len(p)), d.rest)])
	d.rest -= int64(n)
	return n, err
}

// divert reads the head of a packet, and the rest of it if it is ours.
func (d *diverter) divert() error {
	head := make([]byte, headerSize)
	if _, err := io.ReadFull(d.wire, head); err != nil {
		return io.EOF
	}
	field := func(i int) uint32 { return binary.BigEndian.Uint32(head[4*i:]) }
	size := int64(field(0)) - headerSize
	if size < 0 || size > maxPacket {
		d.wire.Close()
		d.wire.broken()
		return io.EOF
	}
	if field(1) != remoteProgram || field(3) != uploadVolume && field(3) != downloadVolume {
		d.head, d.rest = head, size
		return nil
	}
	k := packet{kind: field(4), serial: field(5), status: field(6), payload: make([]byte, size)}
	if _, err := io.ReadFull(d.wire, k.payload); err != nil {
		return io.EOF
	}
	select {
	case d.in <- k:
		return nil
	case <-d.done:
		return io.EOF
	}
}
