package qmp

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

const testLimit = 2 * time.Minute

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const greeting = `{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""}, "capabilities": ["oob"]}}` + "\n"

// server is a scripted peer on a unix socket: one connection, one goroutine.
type server struct {
	t    *testing.T
	path string
	done chan struct{}
}

// serve runs script for the first connection and waits for it at the end.
func serve(t *testing.T, script func(*peer)) *server {
	t.Helper()
	s := &server{t: t, path: filepath.Join(t.TempDir(), "s"), done: make(chan struct{})}
	l, err := net.Listen("unix", s.path)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(s.done)
		defer l.Close()
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		script(&peer{t: t, conn: conn, lines: bufio.NewReader(conn)})
	}()
	t.Cleanup(func() { l.Close(); <-s.done })
	return s
}

// peer is the server's side of the connection.
type peer struct {
	t     *testing.T
	conn  net.Conn
	lines *bufio.Reader
}

// call is a request as the server sees it.
type call struct {
	Execute   string          `json:"execute"`
	Arguments json.RawMessage `json:"arguments"`
	ID        json.RawMessage `json:"id"`
}

// next reads one request; ok is false at the end of the connection.
func (p *peer) next() (c call, ok bool) {
	line, err := p.lines.ReadBytes('\n')
	if err != nil {
		return c, false
	}
	for len(line) > 0 && line[0] == delimiter {
		line = line[1:]
	}
	if err := json.Unmarshal(line, &c); err != nil {
		p.t.Errorf("request %q: %v", line, err)
		return c, false
	}
	return c, true
}

func (p *peer) send(text string) { _, _ = p.conn.Write([]byte(text)) }

// reply answers a request with a value in JSON.
func (p *peer) reply(c call, value string) {
	if c.ID == nil {
		p.send(`{"return": ` + value + "}\n")
		return
	}
	p.send(`{"return": ` + value + `, "id": ` + string(c.ID) + "}\n")
}

// negotiate does what every QEMU does first.
func (p *peer) negotiate() {
	p.send(greeting)
	if c, ok := p.next(); ok {
		if c.Execute != "qmp_capabilities" {
			p.t.Errorf("first command is %q", c.Execute)
		}
		p.reply(c, "{}")
	}
}

func limit(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), testLimit)
	t.Cleanup(cancel)
	return ctx
}

func dial(t *testing.T, s *server, onEvent func(Event)) *Client {
	t.Helper()
	c, err := Dial(limit(t), s.path, onEvent)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}
