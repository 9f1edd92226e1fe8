package netstack

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/nixvm/nixvm/backends"
)

func onWire(frames ...[]byte) []byte {
	var b []byte
	for _, f := range frames {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(f))), f...)
	}
	return b
}

// synFrame begins a connection.
func synFrame(to string, port uint16) []byte {
	syn := make([]byte, header.TCPMinimumSize)
	header.TCP(syn).Encode(&header.TCPFields{SrcPort: 1, DstPort: port, DataOffset: header.TCPMinimumSize, Flags: header.TCPFlagSyn})
	f := append(ipFrame("10.0.2.15", to, header.TCPProtocolNumber), syn...)
	h := header.IPv4(f[ethernetHeader:])
	h.SetTotalLength(uint16(len(f) - ethernetHeader))
	h.SetChecksum(0)
	h.SetChecksum(^h.CalculateChecksum())
	return f
}

func TestFramesAreReadWholeOrPassedOver(t *testing.T) {
	small, large := []byte("frame"), make([]byte, 70_000)
	wire := onWire(small, large, nil, small)
	buf := make([]byte, 100)
	r := bufio.NewReader(bytes.NewReader(wire))
	for i, want := range [][]byte{small, nil, nil, small} {
		got, err := readFrame(r, buf)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("frame %d: %q, %v", i, got, err)
		}
	}
	if _, err := readFrame(r, buf); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
	for _, n := range []int{2, 6} {
		if _, err := readFrame(bufio.NewReader(bytes.NewReader(wire[:n])), buf); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	if _, err := readFrame(bufio.NewReader(bytes.NewReader([]byte{0xff, 0xff, 0xff, 0xff, 1})), buf); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a length of 4 GiB: %v", err)
	}
}

// FuzzWire sends what a hostile guest might: whatever it is, the process lives,
// and ends with its QEMU. Nothing of it goes further than this host's loopback.
func FuzzWire(f *testing.F) {
	f.Add(onWire(arpFrame(header.ARPRequest, Gateway), synFrame("203.0.113.7", 7777), ipFrame("10.0.2.15", "10.0.2.2", header.ICMPv4ProtocolNumber)))
	f.Add([]byte{0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, wire []byte) {
		n := testNetwork(Policy{&backends.Isolation{}})
		n.isHost = func(netip.Addr) bool { return true } // so the internet is closed too
		ours, theirs := net.Pipe()
		ended := make(chan error, 1)
		go func() { ended <- n.run(t.Context(), Ends{Wire: ours, SSH: noListener(), Usage: noListener()}) }()
		go io.Copy(io.Discard, theirs) //nolint:errcheck // what it answers is its affair
		theirs.Write(wire)             //nolint:errcheck // it may have hung up
		theirs.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
