package nettest

import (
	"encoding/binary"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Resolve makes this process's resolver, and so the one that a user-mode network
// offers to its guest, answer for names in DNS wire format. Only a test that is
// [Inside] may call it.
func Resolve(t testing.TB, names map[string]string) {
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
