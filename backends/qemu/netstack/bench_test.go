package netstack

import (
	"io"
	"net"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
)

// BenchmarkThroughput moves data over one TCP connection between the host and
// port 22 of the guest, in each direction. The guest's side is a second stack,
// which takes its share of the CPU.
func BenchmarkThroughput(b *testing.B) {
	for name, ends := range map[string]func(host, guest net.Conn) (from, to net.Conn){
		"to the guest":   func(host, guest net.Conn) (from, to net.Conn) { return host, guest },
		"from the guest": func(host, guest net.Conn) (from, to net.Conn) { return guest, host },
	} {
		b.Run(name, func(b *testing.B) {
			g := newGuest(b, testNetwork(Policy{}))
			sshd := g.listen()
			defer sshd.Close()
			host, guest := g.connect(sshd)
			defer host.Close()
			defer guest.Close()
			from, to := ends(host, guest)
			block := make([]byte, 1<<20)
			sent := make(chan error, 1)
			b.SetBytes(int64(len(block)))
			b.ResetTimer()
			go func() {
				for range b.N {
					if _, err := from.Write(block); err != nil {
						sent <- err
						return
					}
				}
				sent <- nil
			}()
			if _, err := io.CopyN(io.Discard, to, int64(b.N)*int64(len(block))); err != nil {
				b.Error(err)
			}
			if err := <-sent; err != nil {
				b.Error(err)
			}
		})
	}
}

// BenchmarkConnect opens a connection to the guest's port 22 and closes it.
func BenchmarkConnect(b *testing.B) {
	g := newGuest(b, testNetwork(Policy{}))
	sshd := g.listen()
	defer sshd.Close()
	for b.Loop() {
		host, guest := g.connect(sshd)
		guest.Close()
		host.Close()
	}
}

func (g *guest) listen() *gonet.TCPListener {
	g.Helper()
	sshd, err := gonet.ListenTCP(g.stack, full("10.0.2.15:22"), ipv4.ProtocolNumber)
	if err != nil {
		g.Fatal(err)
	}
	return sshd
}

// connect returns both ends of a connection to port 22 of the guest.
func (g *guest) connect(sshd *gonet.TCPListener) (host, inside net.Conn) {
	g.Helper()
	host, err := net.Dial("tcp", g.ssh)
	if err != nil {
		g.Fatal(err)
	}
	if inside, err = sshd.Accept(); err != nil {
		g.Fatal(err)
	}
	return host, inside
}
