// Package client is the other side of package rpc: what the command line, the
// stdio bridge and tests use to talk to the daemon.
//
//	c, err := client.DialOrStart(ctx, layout, client.Program{Path: exe}, client.Options{Name: "nixvmd list"})
//	err = c.Call(ctx, api.MethodMachineList, nil, &result)
//
// Errors are *problem.Error with the code, message and hint of the daemon. A
// connection that breaks, or never comes about, is daemon.unreachable.
package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sourcegraph/jsonrpc2"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/paths"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/rpc"
	"github.com/nixvm/nixvm/rpc/frame"
)

// maxAnswer bounds a message of the daemon, in bytes: a thousand machines have
// less than one MiB.
const maxAnswer = 64 << 20

// Options of a connection.
type Options struct {
	Name    string // who asks, e.g. "nixvmd create"; operations remember it
	Version string // of the client
	// OnNotification gets every notification, in order, on the reading
	// goroutine: it must not block. nil asks for none.
	OnNotification func(method string, params json.RawMessage)
	OperationLog   bool // the output of the tools that operations run, too
	// Greeting is how long the daemon may take to answer at all; 0 = 15 s. It
	// answers from memory, so one that takes longer hangs or is stopped.
	Greeting time.Duration
}

const defaultGreeting = 15 * time.Second

// Client is one session. Its methods may be called at once.
type Client struct {
	conn   *jsonrpc2.Conn
	stream *stream
	server api.InitializeResult
	nextID atomic.Uint64
}

// Dial connects to the daemon that runs.
func Dial(ctx context.Context, layout paths.Layout, o Options) (*Client, error) {
	conn, err := dial(ctx, layout)
	if err != nil {
		return nil, err
	}
	return New(ctx, conn, o)
}

// dial connects. The runtime directory may lie below /tmp, where any user could
// have put a socket first: so the owner of the listener is checked.
func dial(ctx context.Context, layout paths.Layout) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", layout.Socket())
	if other := rpc.OtherSocket(layout); err != nil && other != "" {
		if c, oerr := d.DialContext(ctx, "unix", other); oerr == nil {
			conn, err = c, nil
		}
	}
	if err != nil {
		return nil, problem.New(problem.DaemonUnreachable, "no nixvmd is listening at %s: %w", layout.Socket(), errors.Unwrap(err)).
			WithHint("start it: nixvmd serve, or systemctl --user start nixvmd").Retry()
	}
	uid, err := rpc.PeerUID(conn)
	if err == nil && uid != os.Getuid() && uid != 0 {
		err = problem.New(problem.PeerRefused, "the nixvmd at %s belongs to user %d, this client to %d", layout.Socket(), uid, os.Getuid()).
			WithHint("remove %s, or set XDG_RUNTIME_DIR", layout.Runtime)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// New opens a session on a connection, which it closes with the session.
func New(ctx context.Context, conn io.ReadWriteCloser, o Options) (*Client, error) {
	c := &Client{stream: &stream{conn: conn, reader: bufio.NewReader(conn)}}
	c.conn = jsonrpc2.NewConn(context.WithoutCancel(ctx), c.stream, handler(o.OnNotification), jsonrpc2.SetLogger(discard{}))
	params := api.InitializeParams{
		ClientInfo: api.ClientInfo{Name: o.Name, Version: o.Version},
		InitializationOptions: api.InitializationOptions{
			ProtocolVersions: []int{api.ProtocolVersion}, OperationLog: o.OperationLog,
		},
	}
	if err := c.greet(ctx, conn, params, o.Greeting); err != nil {
		c.Close()
		return nil, err
	}
	if o.OnNotification != nil {
		if err := c.Notify(ctx, api.MethodInitialized, struct{}{}); err != nil {
			c.Close()
			return nil, err
		}
	}
	return c, nil
}

// greet sends initialize. A daemon that is stopped accepts a connection all the
// same: the kernel does.
func (c *Client) greet(ctx context.Context, conn io.ReadWriteCloser, params api.InitializeParams, limit time.Duration) error {
	if limit <= 0 {
		limit = defaultGreeting
	}
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := c.Call(limited, api.MethodInitialize, params, &c.server)
	if err == nil || limited.Err() == nil || ctx.Err() != nil {
		return err
	}
	who, fix := "nixvmd", "end its process, or: systemctl --user restart nixvmd; VMs keep running, and the next daemon continues operations"
	if pid, ok := daemonBehind(conn); ok {
		who = fmt.Sprintf("nixvmd (process %d)", pid)
		fix = fmt.Sprintf("if it is stopped: kill -CONT %d; if that does not help: kill -KILL %d. VMs keep running, and the next daemon continues operations", pid, pid)
	}
	return problem.New(problem.DaemonSilent, "%s has not answered within %s", who, limit).WithHint("%s", fix).Retry()
}

// daemonBehind is the process that listens, if it is a nixvmd: with socket
// activation systemd does.
func daemonBehind(conn io.ReadWriteCloser) (pid int, ok bool) {
	socket, ok := conn.(net.Conn)
	if !ok {
		return 0, false
	}
	pid, err := rpc.PeerPID(socket)
	if err != nil || pid <= 1 {
		return 0, false
	}
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	return pid, err == nil && string(bytes.TrimSpace(name)) == "nixvmd"
}

// Server is what the daemon said of itself.
func (c *Client) Server() api.InitializeResult { return c.server }

// Done is closed when the connection is gone.
func (c *Client) Done() <-chan struct{} { return c.conn.DisconnectNotify() }

// Close ends the session.
func (c *Client) Close() error {
	err := c.conn.Close()
	if errors.Is(err, jsonrpc2.ErrClosed) {
		return nil
	}
	return err
}

// Call sends a request and waits for the answer. When ctx ends first, the
// request is cancelled ($/cancelRequest) and Call returns at once.
func (c *Client) Call(ctx context.Context, method string, params, result any) error {
	return c.call(ctx, 0, method, params, result)
}

// beginGrace is how long Begin waits for the answer to a request that it has
// cancelled.
const beginGrace = 5 * time.Second

// Begin is Call for a request that begins an operation and does not wait for its
// end. When ctx ends first, the request is cancelled, and its answer is still
// waited for, for some seconds: if the operation has begun all the same, the
// result names it and the error is nil.
func (c *Client) Begin(ctx context.Context, method string, params, result any) error {
	return c.call(ctx, beginGrace, method, params, result)
}

// call waits for the answer up to grace longer than ctx lasts.
func (c *Client) call(ctx context.Context, grace time.Duration, method string, params, result any) error {
	id := jsonrpc2.ID{Num: c.nextID.Add(1)}
	if params == nil {
		params = struct{}{}
	}
	c.stream.results.Store(id.Num, nil)
	defer c.stream.results.Delete(id.Num)
	call, err := c.conn.DispatchCall(ctx, method, params, jsonrpc2.PickID(id))
	if err != nil {
		return c.lost(err)
	}
	var raw json.RawMessage
	err = call.Wait(ctx, &raw)
	if err != nil && ctx.Err() != nil {
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer cancel()
		_ = c.Notify(late, api.MethodCancelRequest, api.CancelParams{ID: json.RawMessage(id.String())})
		if err = call.Wait(late, &raw); late.Err() != nil {
			return ctx.Err()
		}
	}
	if err != nil {
		return c.lost(err)
	}
	if kept, _ := c.stream.results.Load(id.Num); kept != nil {
		raw = kept.(json.RawMessage)
	}
	if result == nil || len(raw) == 0 {
		return nil
	}
	if err := json.Unmarshal(raw, result); err != nil {
		return fmt.Errorf("answer to %s: %w", method, err)
	}
	return nil
}

// Notify sends a notification.
func (c *Client) Notify(ctx context.Context, method string, params any) error {
	if err := c.conn.Notify(ctx, method, params); err != nil {
		return c.lost(err)
	}
	return nil
}

// lost turns the daemon's errors into problems, and those of the connection too.
func (c *Client) lost(err error) error {
	var answer *jsonrpc2.Error
	if errors.As(err, &answer) {
		return rpc.ProblemOf(answer)
	}
	// A request may break off while what the daemon said is still to be read.
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	select {
	case <-c.Done():
	case <-timer.C:
	}
	if p := c.stream.refusal.Load(); p != nil {
		return p
	}
	return problem.New(problem.DaemonUnreachable, "the connection to nixvmd was lost: %w", err).
		WithHint("operations continue in the daemon; try again").Retry()
}

// handler passes notifications on. The daemon asks nothing of this client.
type handler func(method string, params json.RawMessage)

func (h handler) Handle(ctx context.Context, conn *jsonrpc2.Conn, r *jsonrpc2.Request) {
	switch {
	case !r.Notif:
		_ = conn.ReplyWithError(ctx, r.ID, &jsonrpc2.Error{Code: jsonrpc2.CodeMethodNotFound, Message: "this client does not answer requests"})
	case h != nil:
		var params json.RawMessage
		if r.Params != nil {
			params = *r.Params
		}
		h(r.Method, params)
	}
}

// stream frames messages on a connection.
type stream struct {
	conn   io.ReadWriteCloser
	reader *bufio.Reader
	write  sync.Mutex
	// refusal is why the daemon did not let this client in: an error that
	// belongs to no request, after which it closes the connection.
	refusal atomic.Pointer[problem.Error]
	results sync.Map // json.RawMessage by id: what Call waits for; nil = it has not come
}

// writeLimit is how long the daemon may take to read a request. It reads at once,
// unless it hangs.
const writeLimit = 30 * time.Second

func (s *stream) ReadObject(v any) error {
	body, err := frame.Read(s.reader, maxAnswer)
	if err != nil {
		return err
	}
	s.noteRefusal(body)
	return json.Unmarshal(s.setAside(body), v)
}

// setAside keeps the result of an answer in the daemon's own spelling for Call,
// and returns the answer without it: jsonrpc2 would parse a long list of machines
// five times.
func (s *stream) setAside(body []byte) []byte {
	rest, ok := bytes.CutPrefix(body, []byte(`{"jsonrpc":"2.0","id":`))
	digits, result, found := bytes.Cut(rest, []byte(`,"result":`))
	id, err := strconv.ParseUint(string(digits[:min(len(digits), 20)]), 10, 64)
	if !ok || !found || err != nil || !bytes.HasSuffix(result, []byte("}")) {
		return body
	}
	if !s.results.CompareAndSwap(id, nil, json.RawMessage(result[:len(result)-1])) {
		return body // it is no longer awaited
	}
	return append(bytes.Clone(body[:len(body)-len(result)]), "null}"...)
}

func (s *stream) noteRefusal(body []byte) {
	if !bytes.HasPrefix(body, []byte(`{"jsonrpc":"2.0","id":null,"error":`)) {
		return
	}
	var m struct{ Error *jsonrpc2.Error }
	if json.Unmarshal(body, &m) == nil && m.Error != nil {
		s.refusal.Store(rpc.ProblemOf(m.Error))
	}
}

func (s *stream) WriteObject(v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	s.write.Lock()
	defer s.write.Unlock()
	if d, ok := s.conn.(interface{ SetWriteDeadline(time.Time) error }); ok {
		_ = d.SetWriteDeadline(time.Now().Add(writeLimit))
	}
	_, err = s.conn.Write(frame.Append(nil, body))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		s.conn.Close() // half a message may have gone out
	}
	return err
}

func (s *stream) Close() error { return s.conn.Close() }

type discard struct{}

func (discard) Printf(string, ...any) {}
