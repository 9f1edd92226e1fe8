package contract_test

import (
	"io"
	"net"
	"testing"

	"github.com/nixvm/nixvm/internal/nettest"
	"github.com/nixvm/nixvm/nixbuild/contract"
)

// listeners are addresses on which something answers.
type listeners struct {
	public, private, allowed []string
	allowedCIDR              string
}

const port = "7777"

// listenEverywhere makes the loopback of this namespace answer for addresses of
// every kind, and for names.
func listenEverywhere(t *testing.T) listeners {
	t.Helper()
	nettest.IP(t, "link", "set", "lo", "up")
	add := func(address string, ports ...string) (out []string) {
		switch {
		case net.ParseIP(address).IsLoopback():
		case net.ParseIP(address).To4() != nil:
			nettest.IP(t, "addr", "add", address+"/32", "dev", "lo")
		default: // "nodad": usable at once
			nettest.IP(t, "addr", "add", address+"/128", "dev", "lo", "nodad")
		}
		for _, p := range ports {
			greet(t, net.JoinHostPort(address, p))
			out = append(out, net.JoinHostPort(address, p))
		}
		return out
	}
	l := listeners{allowedCIDR: "192.168.77.0/24"}
	// Addresses of AS112 (RFC 7534, RFC 7535) stand for the internet.
	l.public = append(add("192.175.48.7", port, "443"), add("2620:4f:8000::7", port)...)
	l.allowed = add("192.168.77.9", port)
	for _, address := range []string{"10.77.0.1", "172.16.5.5", "192.168.1.10", "100.64.1.1", "169.254.169.254", "198.18.0.9", "192.0.0.9", "168.63.129.16", "fd00:77::1", "2001:db8::1"} {
		l.private = append(l.private, add(address, port)...)
	}
	// Another resolver than the one the guest is given, and the host itself,
	// which QEMU shows to the guest as 10.0.2.2.
	l.private = append(l.private, add("192.168.1.53", "53")...)
	add("127.0.0.1", port)
	l.private = append(l.private, "10.0.2.2:"+port)

	nettest.Resolve(t, map[string]string{"\x06public\x04test\x00": "192.175.48.7", "\x07private\x04test\x00": "192.168.1.10"})
	l.public = append(l.public, "public.test:"+port)
	l.private = append(l.private, "private.test:"+port)
	return l
}

// greet answers every connection to the address.
func greet(t *testing.T, address string) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				io.WriteString(conn, contract.Greeting+"\n") //nolint:errcheck // the guest will say so
				io.Copy(io.Discard, conn)                    //nolint:errcheck // until the guest hangs up
			}()
		}
	}()
}
