package contract_test

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/nixvm/nixvm/nixbuild/contract"
)

const insideVariable = "NIXVM_TEST_IN_NAMESPACE"

// inNamespace runs the calling test again in a process of its own that has a
// network namespace with nothing but a loopback: neither it, nor QEMU, nor the
// guest can send a packet anywhere. It reports true in that process. As a plain
// user it needs a user namespace.
func inNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getenv(insideVariable) != "" {
		return true
	}
	args := []string{"--net", "--mount", "--kill-child"}
	if os.Getuid() != 0 {
		args = append(args, "--user", "--map-root-user")
	}
	for program, pkg := range map[string]string{"unshare": "util-linux", "ip": "iproute2"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("this test needs %s\n  sudo apt-get install %s", program, pkg)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "unshare", append(args, self, "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=15m")...)
	cmd.Env = append(os.Environ(), insideVariable+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("in a network namespace: %v\n%s", err, out)
	}
	t.Logf("in a network namespace:\n%s", out)
	return false
}

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
	ip(t, "link", "set", "lo", "up")
	add := func(address string, ports ...string) (out []string) {
		switch {
		case net.ParseIP(address).IsLoopback():
		case net.ParseIP(address).To4() != nil:
			ip(t, "addr", "add", address+"/32", "dev", "lo")
		default: // "nodad": usable at once
			ip(t, "addr", "add", address+"/128", "dev", "lo", "nodad")
		}
		for _, p := range ports {
			greet(t, net.JoinHostPort(address, p))
			out = append(out, net.JoinHostPort(address, p))
		}
		return out
	}
	l := listeners{allowedCIDR: "192.168.77.0/24"}
	// Addresses for documentation (RFC 5737, RFC 3849) stand for the internet.
	l.public = append(add("203.0.113.7", port, "443"), add("2001:db8:7::1", port)...)
	l.allowed = add("192.168.77.9", port)
	for _, address := range []string{"10.77.0.1", "172.16.5.5", "192.168.1.10", "100.64.1.1", "169.254.169.254", "fd00:77::1"} {
		l.private = append(l.private, add(address, port)...)
	}
	// Another resolver than the one the guest is given, and the host itself,
	// which QEMU shows to the guest as 10.0.2.2.
	l.private = append(l.private, add("192.168.1.53", "53")...)
	add("127.0.0.1", port)
	l.private = append(l.private, "10.0.2.2:"+port)

	resolve(t, map[string]string{"\x06public\x04test\x00": "203.0.113.7", "\x07private\x04test\x00": "192.168.1.10"})
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

// resolve makes this process's resolver, and so the one that QEMU offers to its
// guest, answer for names in DNS wire format.
func resolve(t *testing.T, names map[string]string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(file, []byte("nameserver 127.0.0.1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "--bind", file, "/etc/resolv.conf").CombinedOutput(); err != nil {
		t.Fatalf("mount: %v: %s", err, out)
	}
	conn, err := net.ListenPacket("udp", "127.0.0.1:53")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil && n > 16 {
				conn.WriteTo(answer(buf[:n], names), from) //nolint:errcheck // the guest asks again
			}
		}
	}()
}

// answer makes a DNS response (RFC 1035, section 4) to a query with one question.
func answer(query []byte, names map[string]string) []byte {
	end := 12
	for end < len(query) && query[end] != 0 {
		end += 1 + int(query[end])
	}
	if end+5 > len(query) {
		return nil
	}
	kind := binary.BigEndian.Uint16(query[end+1:])
	out := append([]byte{}, query[:end+5]...)
	binary.BigEndian.PutUint16(out[2:], 0x8180) // a response, recursion available
	for i := 6; i < 12; i++ {
		out[i] = 0
	}
	address, known := names[string(query[12:end+1])]
	switch {
	case !known:
		out[3] |= 3 // no such name
	case kind == 1:
		out[7] = 1
		out = append(out, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4)
		out = append(out, net.ParseIP(address).To4()...)
	}
	return out
}

func ip(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %v: %v: %s", args, err, out)
	}
}
