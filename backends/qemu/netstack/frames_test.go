package netstack

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/nixvm/nixvm/backends"
)

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
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	theirs, file := os.NewFile(uintptr(pair[0]), "theirs"), os.NewFile(uintptr(pair[1]), "ours")
	defer theirs.Close()
	ours, err := net.FileConn(file)
	file.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	small, longest := []byte("frame"), make([]byte, maxFrame)
	frames := [][]byte{small, longest, make([]byte, maxFrame+1), make([]byte, 60_000), {}, small}
	buf := make([]byte, maxFrame+1)
	for i, want := range [][]byte{small, longest, nil, nil, nil, small} {
		if _, err := unix.Write(pair[0], frames[i]); err != nil {
			t.Fatal(err)
		}
		if got, err := readFrame(ours, buf); err != nil || !bytes.Equal(got, want) {
			t.Errorf("frame %d: %d bytes, %v", i, len(got), err)
		}
	}
}

// FuzzWire sends what a hostile guest might: for any input, the process lives,
// and ends with its QEMU. Nothing of it goes further than this host's loopback.
func FuzzWire(f *testing.F) {
	f.Add(arpFrame(header.ARPRequest, Gateway), synFrame("203.0.113.7", 7777))
	f.Add(ipFrame("10.0.2.15", "10.0.2.2", header.ICMPv4ProtocolNumber), []byte{})
	f.Fuzz(func(t *testing.T, first, second []byte) {
		n := testNetwork(Policy{&backends.Isolation{}})
		n.isHost = func(netip.Addr) bool { return true } // so the internet is closed too
		ours, theirs := net.Pipe()
		ended := make(chan error, 1)
		go func() { ended <- n.run(t.Context(), Ends{Wire: ours, SSH: noListener(), Usage: noListener()}) }()
		go io.Copy(io.Discard, theirs) //nolint:errcheck // what it answers is its affair
		theirs.Write(first)            //nolint:errcheck // it may have hung up
		theirs.Write(second)           //nolint:errcheck // the same
		theirs.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
