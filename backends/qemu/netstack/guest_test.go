package netstack

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/link/ethernet"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testLimit ends a hang; no test is about time.
const testLimit = 60 * time.Second

func testNetwork(p Policy) *network {
	n := newNetwork(p, slog.New(slog.DiscardHandler))
	n.resolver = func() netip.Addr { return netip.MustParseAddr("127.0.0.1") }
	return n
}

// noListener is closed already: no client connects to the guest.
func noListener() net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	l.Close()
	return l
}

// guest is a TCP/IP stack in the role of a guest's kernel.
type guest struct {
	testing.TB
	stack *stack.Stack
	ssh   string // the host's port that leads to its port 22
	usage string // the host's port that tells the usage
}

// newGuest runs a network with a guest until the end of the test.
func newGuest(t testing.TB, n *network) *guest {
	t.Helper()
	ssh, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	usage, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := net.Pipe()
	g := &guest{TB: t, ssh: ssh.Addr().String(), usage: usage.Addr().String()}
	link := channel.New(maxQueued, mtu+ethernetHeader, tcpip.LinkAddress(guestMAC))
	g.stack = stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, arp.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol},
	})
	g.check(g.stack.CreateNIC(1, ethernet.New(link)))
	g.check(g.stack.AddProtocolAddress(1, tcpip.ProtocolAddress{
		Protocol: ipv4.ProtocolNumber, AddressWithPrefix: tcpip.AddressWithPrefix{Address: address(Guest), PrefixLen: 24},
	}, stack.AddressProperties{}))
	g.stack.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, Gateway: address(Gateway), NIC: 1}})
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		if err := n.run(ctx, Ends{Wire: ours, SSH: ssh, Usage: usage}); err != nil {
			t.Error(err)
		}
	})
	all.Go(func() {
		for p := link.ReadContext(ctx); p != nil; p = link.ReadContext(ctx) {
			theirs.Write(frameOf(nil, p)) //nolint:errcheck // the end is seen by the other direction
			p.DecRef()
		}
	})
	all.Go(func() {
		buf := make([]byte, maxFrame+1)
		for {
			frame, err := readFrame(theirs, buf)
			if err != nil {
				return
			}
			p := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(frame)})
			link.InjectInbound(0, p)
			p.DecRef()
		}
	})
	t.Cleanup(func() {
		theirs.Close()
		cancel()
		all.Wait()
		g.stack.Close()
		g.stack.Wait()
	})
	return g
}

func (g *guest) check(err tcpip.Error) {
	g.Helper()
	if err != nil {
		g.Fatal(err)
	}
}

// until waits for what no event tells.
func (g *guest) until(what string, is func() bool) {
	g.Helper()
	end, again := time.After(testLimit), time.NewTicker(10*time.Millisecond)
	defer again.Stop()
	for !is() {
		select {
		case <-again.C:
		case <-end:
			g.Fatalf("never: %s", what)
		}
	}
}

func full(text string) tcpip.FullAddress {
	a := netip.MustParseAddrPort(text)
	return tcpip.FullAddress{NIC: 1, Addr: address(a.Addr()), Port: a.Port()}
}

func (g *guest) dialTCP(to string) (*gonet.TCPConn, error) {
	ctx, cancel := context.WithTimeout(g.Context(), testLimit)
	defer cancel()
	return gonet.DialContextTCP(ctx, g.stack, full(to), ipv4.ProtocolNumber)
}

// ask sends a datagram and returns the answer.
func (g *guest) ask(to, text string) (string, error) {
	g.Helper()
	there := full(to)
	conn, err := gonet.DialUDP(g.stack, nil, &there, ipv4.ProtocolNumber)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(testLimit))
	if _, err := conn.Write([]byte(text)); err != nil {
		return "", err
	}
	buf := make([]byte, 2000)
	n, err := conn.Read(buf)
	return string(buf[:n]), err
}

// echo answers what it is sent, on a TCP and a UDP port.
func echo(t *testing.T, on string) {
	t.Helper()
	l, err := net.Listen("tcp", on)
	if err != nil {
		t.Fatal(err)
	}
	u, err := net.ListenPacket("udp", on)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() { l.Close(); u.Close(); all.Wait() })
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer conn.Close()
				stop := context.AfterFunc(t.Context(), func() { conn.Close() })
				defer stop()
				io.Copy(conn, conn) //nolint:errcheck // its client sees it
			})
		}
	})
	all.Go(func() {
		buf := make([]byte, 2000)
		for {
			n, from, err := u.ReadFrom(buf)
			if err != nil {
				return
			}
			u.WriteTo(buf[:n], from) //nolint:errcheck // its client sees it
		}
	})
}

func textLog(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }
