package console

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/nixvm/nixvm/backends/internal/console/consoletest"
	"github.com/nixvm/nixvm/internal/problem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// logged is a log in memory.
type logged struct {
	bytes.Buffer
	closed bool
}

func (l *logged) Close() error {
	l.closed = true
	return nil
}

// shared returns a console whose guest is the other end of a pipe.
func shared(t *testing.T) (*Shared, net.Conn, *logged) {
	t.Helper()
	line, guest := net.Pipe()
	log := &logged{}
	s := New(line, log)
	t.Cleanup(func() { guest.Close(); s.Close() })
	return s, guest, log
}

func TestAConsoleReachesEveryClientAndTheLog(t *testing.T) {
	s, guest, log := shared(t)
	a, b := s.Attach(), s.Attach()
	consoletest.Say(t, guest, "boot\n")
	consoletest.Read(t, a, "boot\n")
	consoletest.Read(t, b, "boot\n")
	late := s.Attach()
	consoletest.Read(t, late, "boot\n")
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v", err)
	}
	go func() { _, _ = io.WriteString(b, "typed") }()
	consoletest.Read(t, guest, "typed")
	consoletest.Say(t, guest, "more")
	consoletest.Read(t, b, "more")
	guest.Close()
	if rest, err := io.ReadAll(late); err != nil || string(rest) != "more" {
		t.Errorf("%q, %v", rest, err)
	}
	<-s.Done()
	if log.String() != "boot\nmore" || !log.closed {
		t.Errorf("the log holds %q, closed %t", log.String(), log.closed)
	}
	if _, err := s.Attach().Read(make([]byte, 1)); err != nil {
		t.Errorf("after the end: %v", err) // the last screen can still be read
	}
}

func TestAClientThatDoesNotReadIsCutOff(t *testing.T) {
	s, guest, _ := shared(t)
	lazy, good := s.Attach(), s.Attach()
	const total = 2 * ClientBuffer
	done := make(chan int64, 1)
	go func() {
		n, _ := io.CopyN(io.Discard, good, total)
		done <- n
	}()
	chunk := string(bytes.Repeat([]byte("x"), 4096))
	for range total / len(chunk) {
		consoletest.Say(t, guest, chunk)
	}
	if n := <-done; n != total {
		t.Errorf("the other client got %d bytes", n)
	}
	n, err := io.Copy(io.Discard, lazy)
	if err == nil || n > ClientBuffer {
		t.Errorf("%d bytes, %v", n, err)
	}
}

func TestAGuestThatDoesNotReadHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, _ := shared(t)
		client := s.Attach()
		if _, err := client.Write([]byte("typed")); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%v", err)
		}
	})
}

// failing ends with a problem of its own.
type failing struct{ net.Conn }

func (failing) Read([]byte) (int, error) { return 0, problem.New(problem.VMBusy, "taken") }

func TestOnlyAProblemSaysHowALineEnded(t *testing.T) {
	line, guest := net.Pipe()
	guest.Close()
	s := New(failing{line}, nil)
	if _, err := s.Attach().Read(make([]byte, 1)); !problem.HasCode(err, problem.VMBusy) {
		t.Errorf("%v", err)
	}
	s.Close()
}

// opener counts the lines that are open.
type opener struct {
	mu     sync.Mutex
	open   int
	most   int
	opened int
}

type countedLine struct {
	net.Conn
	once sync.Once
	of   *opener
}

func (l *countedLine) Close() error {
	l.once.Do(func() {
		l.of.mu.Lock()
		defer l.of.mu.Unlock()
		l.of.open--
	})
	return l.Conn.Close()
}

func (o *opener) dial(context.Context) (Line, error) {
	line, _ := net.Pipe()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.open, o.opened = o.open+1, o.opened+1
	o.most = max(o.most, o.open)
	return &countedLine{Conn: line, of: o}, nil
}

// Clients come and go in any order: there is one line while there is a client, none
// when there is none, and no client is given a closed one.
func TestAConsoleIsOpenWhileItHasClients(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var o OnDemand
		lines := &opener{}
		var clients []io.ReadWriteCloser
		t.Repeat(map[string]func(*rapid.T){
			"open": func(t *rapid.T) {
				c, err := o.Open(context.Background(), "demo", lines.dial)
				if err != nil {
					t.Fatal(err)
				}
				clients = append(clients, c)
			},
			"close": func(t *rapid.T) {
				if len(clients) == 0 {
					t.Skip("there is no client")
				}
				n := rapid.IntRange(0, len(clients)-1).Draw(t, "client")
				clients[n].Close()
				clients[n].Close() // counts once
				clients = append(clients[:n], clients[n+1:]...)
			},
			"": func(t *rapid.T) {
				if want := min(1, len(clients)); lines.open != want {
					t.Fatalf("%d lines are open for %d clients", lines.open, len(clients))
				}
			},
		})
		o.Close()
		if lines.open != 0 || lines.most > 1 {
			t.Fatalf("%d lines are open, at most %d", lines.open, lines.most)
		}
		if _, err := o.Open(context.Background(), "demo", lines.dial); err == nil || lines.open != 0 {
			t.Fatalf("after the end: %v, %d lines", err, lines.open)
		}
	})
}

func TestADroppedConsoleEndsForItsClients(t *testing.T) {
	var o OnDemand
	lines := &opener{}
	c, err := o.Open(t.Context(), "demo", lines.dial)
	if err != nil {
		t.Fatal(err)
	}
	o.Drop("demo")
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("%v", err)
	}
	again, err := o.Open(t.Context(), "demo", lines.dial)
	if err != nil || lines.opened != 2 {
		t.Fatalf("%v, %d opened", err, lines.opened)
	}
	c.Close() // of the one that was dropped
	if lines.open != 1 {
		t.Error("a client of the old console closes the new one")
	}
	again.Close()
	if lines.open != 0 {
		t.Error("it stays open")
	}
}
