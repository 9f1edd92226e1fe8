package netstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

const (
	mtu            = 1500
	ethernetHeader = header.EthernetMinimumSize
	maxFrame       = mtu + ethernetHeader
)

// readFrame reads the next frame, a datagram, into buf, which has a byte more than
// the longest. One that does not fit, which only a guest that means harm sends, is
// passed over: the frame is then empty.
func readFrame(wire io.Reader, buf []byte) ([]byte, error) {
	n, err := wire.Read(buf)
	if err != nil || n > maxFrame {
		return nil, err
	}
	return buf[:n], nil
}

// receive gives the guest's frames to the stack until the wire is closed.
func (n *network) receive(wire io.Reader) error {
	buf := make([]byte, maxFrame+1)
	for {
		frame, err := readFrame(wire, buf)
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

// ends are how a wire ends when nothing is wrong: we have closed it, or a test has.
var ends = []error{io.EOF, net.ErrClosed, io.ErrClosedPipe}

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
func (n *network) send(wire io.Writer) error {
	var buf []byte
	for {
		p := n.link.ReadContext(n.ctx)
		if p == nil {
			return context.Cause(n.ctx)
		}
		buf = frameOf(buf[:0], p)
		p.DecRef()
		if _, err := wire.Write(buf); err != nil {
			return fmt.Errorf("write to QEMU: %w", err)
		}
	}
}

// frameOf appends a frame to buf: a datagram is written at once.
func frameOf(buf []byte, p *stack.PacketBuffer) []byte {
	for _, part := range p.AsSlices() {
		buf = append(buf, part...)
	}
	return buf
}
