package rpc_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/sourcegraph/jsonrpc2"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/paths"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/rpc"
	"github.com/nixvm/nixvm/rpc/frame"
)

// raw is a client that sends and reads bytes.
type raw struct {
	*net.UnixConn
	t testing.TB
	r *bufio.Reader
}

// message is anything that the daemon sends.
type message struct {
	ID     json.RawMessage
	Method string
	Params json.RawMessage
	Result json.RawMessage
	Error  *jsonrpc2.Error
}

func (m message) code() problem.Code {
	if m.Error == nil {
		return ""
	}
	return rpc.ProblemOf(m.Error).Code
}

func dialRaw(t testing.TB, layout paths.Layout) *raw {
	t.Helper()
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: layout.Socket(), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(limit))
	return &raw{UnixConn: conn, t: t, r: bufio.NewReader(conn)}
}

// dialReady is dialRaw with initialize; capabilities as JSON.
func dialReady(t testing.TB, layout paths.Layout, capabilities string, notifications bool) *raw {
	t.Helper()
	r := dialRaw(t, layout)
	r.request(0, api.MethodInitialize, `{"capabilities":`+capabilities+`}`)
	if m := r.answer(0); m.Error != nil {
		t.Fatal(m.Error)
	}
	if notifications {
		r.send(`{"jsonrpc":"2.0","method":"initialized","params":{}}`)
	}
	return r
}

func (r *raw) bytes(b []byte) {
	r.t.Helper()
	if _, err := r.Write(b); err != nil {
		r.t.Fatal(err)
	}
}

func (r *raw) send(body string) {
	r.t.Helper()
	r.bytes(frame.Append(nil, []byte(body)))
}

func (r *raw) request(id int, method, params string) {
	r.t.Helper()
	r.send(requestBody(id, method, params))
}

func requestBody(id int, method, params string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":%q,"params":%s}`, id, method, params)
}

func (r *raw) next() (message, error) {
	body, err := frame.Read(r.r, 64<<20)
	if err != nil {
		return message{}, err
	}
	var m message
	if err := json.Unmarshal(body, &m); err != nil {
		return m, fmt.Errorf("%w in %s", err, body)
	}
	return m, nil
}

// until returns the first message that fits.
func (r *raw) until(what string, fits func(message) bool) message {
	r.t.Helper()
	for {
		m, err := r.next()
		if err != nil {
			r.t.Fatalf("no %s: %v", what, err)
		}
		if fits(m) {
			return m
		}
	}
}

// answer returns the next answer, which must be to that request.
func (r *raw) answer(id int) message {
	r.t.Helper()
	m := r.until("answer", func(m message) bool { return m.Method == "" })
	if string(m.ID) != fmt.Sprint(id) {
		r.t.Fatalf("the answer to %s came, want %d: %s%v", m.ID, id, m.Result, m.Error)
	}
	return m
}

// notified returns the next message of a method.
func (r *raw) notified(method string) message {
	r.t.Helper()
	return r.until(method, func(m message) bool { return m.Method == method })
}

// wantEnd reads until the daemon has closed the connection. Closing while bytes
// of the client were unread shows as a reset.
func (r *raw) wantEnd() {
	r.t.Helper()
	for {
		m, err := r.next()
		switch {
		case errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.ErrUnexpectedEOF):
			return
		case err != nil:
			r.t.Fatalf("the session does not end: %v", err)
		case m.Method == "":
			r.t.Errorf("one answer too many: %s %v", m.Result, m.Error)
		}
	}
}
