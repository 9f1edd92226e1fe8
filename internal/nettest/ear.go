package nettest

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Ear hears the first word of any connection. The zero value is ready.
type Ear struct {
	mu    sync.Mutex
	words map[string]bool
}

// Hear adds a word.
func (e *Ear) Hear(word string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.words == nil {
		e.words = map[string]bool{}
	}
	e.words[word] = true
}

// Heard is what has arrived since the last call, sorted.
func (e *Ear) Heard() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var list []string
	for w := range e.words {
		list = append(list, w)
	}
	slices.Sort(list)
	e.words = nil
	return list
}

// Listen hears a TCP and a UDP port on every address of a network, until the end
// of the test. in calls its argument in that network; nil is the test's own.
func (e *Ear) Listen(t testing.TB, in func(f func()) error, port string) {
	t.Helper()
	var tcp net.Listener
	var udp net.PacketConn
	var err, udpErr error
	if in == nil {
		in = func(f func()) error { f(); return nil }
	}
	if inErr := in(func() {
		tcp, err = net.Listen("tcp", ":"+port)
		udp, udpErr = net.ListenPacket("udp", ":"+port)
	}); inErr != nil || err != nil || udpErr != nil {
		t.Fatal(inErr, err, udpErr)
	}
	var group sync.WaitGroup
	t.Cleanup(func() { tcp.Close(); udp.Close(); group.Wait() })
	group.Go(func() { e.accept(t.Context(), tcp, &group) })
	group.Go(func() { e.receive(udp) })
}

func (e *Ear) accept(ctx context.Context, l net.Listener, group *sync.WaitGroup) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		group.Go(func() {
			defer conn.Close()
			stop := context.AfterFunc(ctx, func() { conn.Close() })
			defer stop()
			var word string
			if _, err := fmt.Fscan(conn, &word); err == nil {
				e.Hear(word)
			}
		})
	}
}

func (e *Ear) receive(conn net.PacketConn) {
	buf := make([]byte, 200)
	for {
		n, _, err := conn.ReadFrom(buf)
		if err != nil {
			return
		}
		e.Hear(strings.TrimSpace(string(buf[:n])))
	}
}
