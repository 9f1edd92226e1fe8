package netstack

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

const (
	mtu            = 1500
	ethernetHeader = header.EthernetMinimumSize
	lengthSize     = 4
	wireBuffer     = 64 << 10
)

// readFrame reads the next frame into buf. One that does not fit, which only a
// guest that means harm sends, is passed over: the frame is then empty.
func readFrame(r *bufio.Reader, buf []byte) ([]byte, error) {
	var length [lengthSize]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err // io.EOF between two frames
	}
	size := int64(binary.BigEndian.Uint32(length[:]))
	if size > int64(len(buf)) {
		_, err := io.CopyN(io.Discard, r, size)
		return nil, cut(err)
	}
	_, err := io.ReadFull(r, buf[:size])
	return buf[:size], cut(err)
}

// cut is the error of an end within a frame.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// receive gives the guest's frames to the stack until the wire is closed.
func (n *network) receive(wire io.Reader) error {
	r := bufio.NewReaderSize(wire, wireBuffer)
	buf := make([]byte, mtu+ethernetHeader)
	for {
		frame, err := readFrame(r, buf)
		if err != nil {
			return ended(err)
		}
		if !admit(frame) {
			continue
		}
		p := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(frame)})
		n.link.InjectInbound(0, p) // the Ethernet header says which protocol it is
		p.DecRef()
	}
}

// ends are how a wire ends when nothing is wrong: QEMU has, or we have closed it.
var ends = []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, net.ErrClosed, io.ErrClosedPipe}

func ended(err error) error {
	for _, e := range ends {
		if errors.Is(err, e) {
			return nil
		}
	}
	return fmt.Errorf("read from QEMU: %w", err)
}

// send writes the stack's frames until the wire is closed. While QEMU does not
// read, because the VM is suspended, frames wait and then are lost.
func (n *network) send(wire net.Conn) {
	w := bufio.NewWriterSize(wire, wireBuffer)
	for {
		p := n.link.ReadContext(n.ctx)
		if p == nil {
			return
		}
		err := writeFrame(w, p)
		p.DecRef()
		if err == nil && n.link.NumQueued() == 0 {
			err = w.Flush()
		}
		if err != nil {
			return // receive sees the end as well
		}
	}
}

func writeFrame(w io.Writer, p *stack.PacketBuffer) error {
	var length [lengthSize]byte
	binary.BigEndian.PutUint32(length[:], uint32(p.Size()))
	if _, err := w.Write(length[:]); err != nil {
		return err
	}
	for _, part := range p.AsSlices() {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	return nil
}
