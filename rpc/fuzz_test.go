package rpc_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/rpc"
	"github.com/nixvm/nixvm/rpc/frame"
)

// autoCore is a core whose operations end by themselves.
func autoCore(names ...string) *core {
	c := newCore(names...)
	c.auto = true
	return c
}

// FuzzParams: every method, given any JSON as params, is answered exactly once,
// and the session goes on.
func FuzzParams(f *testing.F) {
	methods := rpc.Methods()
	for i := range methods {
		for _, params := range []string{
			`{}`, `null`, `[]`, `7`, `{"name":"demo"}`, `{"name":"demo","confirm":"demo"}`, `{"name":""}`, `{"id":"op1"}`,
			`{"name":"demo","snapshot":"s1","confirm":"demo","detach":true}`, `{"name":"new","memoryMiB":1e999,"vcpus":-0}`,
			`{"name":"new","profiles":[null],"tcpPorts":[65536],"workDoneToken":{}}`, `{"host":"demo","wait":true,"workDoneToken":"t"}`,
			`{"name":"demo","forward":"\ud800\u0000"}`, `{"name":{"name":{"name":1}}}`, `{"NAME":"demo","name":"demo"}`,
		} {
			f.Add(uint8(i), []byte(params))
		}
	}
	// Not the console: without a runtime directory it is refused, and nothing
	// is left behind.
	srv := rpc.NewServer(autoCore("demo", "other"), rpc.Options{})
	f.Cleanup(srv.Close)
	f.Fuzz(func(t *testing.T, which uint8, params []byte) {
		if !json.Valid(params) {
			t.Skip("FuzzSession has what is no JSON")
		}
		near, far := net.Pipe()
		defer near.Close()
		served := make(chan struct{})
		go func() {
			defer close(served)
			srv.ServeConn(context.Background(), far)
		}()
		_ = near.SetDeadline(time.Now().Add(limit))
		method := methods[int(which)%len(methods)].Name
		go func() {
			for _, body := range []string{
				requestBody(1, api.MethodInitialize, `{}`),
				fmt.Sprintf(`{"jsonrpc":"2.0","id":2,"method":%q,"params":%s}`, method, params),
			} {
				_, _ = near.Write(frame.Append(nil, []byte(body)))
			}
		}()
		r := bufio.NewReader(near)
		read := func(want string) {
			t.Helper()
			for {
				m := readMessage(t, r)
				if m.Method != "" {
					continue // progress
				}
				if id := string(m.ID); id != want {
					t.Fatalf("%s %s: an answer to %s, want %s: %v", method, params, id, want, m.Error)
				}
				return
			}
		}
		read("1")
		read("2")
		go func() {
			_, _ = near.Write(frame.Append(nil, []byte(requestBody(3, api.MethodShutdown, `null`))))
			_, _ = near.Write(frame.Append(nil, []byte(`{"jsonrpc":"2.0","method":"exit"}`)))
		}()
		read("3")
		if rest, _ := io.ReadAll(r); bytes.Contains(rest, []byte(`"id":2`)) {
			t.Fatalf("%s %s: answered twice: %s", method, params, rest)
		}
		<-served
	})
}

func readMessage(t *testing.T, r *bufio.Reader) (m message) {
	t.Helper()
	body, err := frame.Read(r, 64<<20)
	if err == nil {
		err = json.Unmarshal(body, &m)
	}
	if err != nil {
		t.Fatalf("%v in %.200q", err, body)
	}
	return m
}

// FuzzSession: whatever a client sends, it receives well-formed messages, and the
// session ends when the client does.
func FuzzSession(f *testing.F) {
	initialize := frame.Append(nil, []byte(requestBody(1, api.MethodInitialize, withProgress)))
	for _, body := range []string{
		`{"jsonrpc":"2.0","method":"initialized"}`, `{"jsonrpc":"2.0","id":1,"result":null}`, `[]`, `{"id":null,"method":"x"}`,
		`{"jsonrpc":"2.0","id":2,"method":"nixvm/vm/start","params":{"name":"demo"}}`, `{"method":"$/cancelRequest","params":{"id":2}}`,
		`{"method":"window/workDoneProgress/cancel","params":{"token":1}}`, `{"id":"x","method":"shutdown","params":null}`, `{"method":"exit"}`,
		`{"id":{},"method":[],"params":"","result":1,"error":2}`, "\x00",
	} {
		f.Add(frame.Append(bytes.Clone(initialize), []byte(body)))
	}
	f.Add([]byte("Content-Length: 3\r\n\r\n{}"))
	srv := rpc.NewServer(autoCore("demo"), rpc.Options{})
	f.Cleanup(srv.Close)
	f.Fuzz(func(t *testing.T, sent []byte) {
		near, far := net.Pipe()
		served := make(chan struct{})
		go func() {
			defer close(served)
			srv.ServeConn(context.Background(), halfOpen{far, bytes.NewReader(sent)})
		}()
		_ = near.SetDeadline(time.Now().Add(limit))
		for r := bufio.NewReader(near); ; {
			body, err := frame.Read(r, 64<<20)
			if err == io.EOF {
				break
			}
			if err != nil || !json.Valid(body) {
				t.Fatalf("%v in %.200q", err, body)
			}
		}
		near.Close()
		<-served
	})
}

// halfOpen reads from elsewhere: a client that has closed its end for writing.
type halfOpen struct {
	net.Conn
	in io.Reader
}

func (h halfOpen) Read(p []byte) (int, error) { return h.in.Read(p) }
