// Package rpc is the daemon's protocol: JSON-RPC 2.0 framed as in the Language
// Server Protocol, over a unix socket.
//
// A client begins with initialize and initialized, as with a language server,
// and then sends nixvm/ requests; docs/protocol.md, which is made from the types
// of package api and the method table of this one, describes each. Reads answer from memory. A request that
// changes a VM begins an operation and is answered when that has ended; the
// operation itself belongs to no client, so that a client which disconnects loses nothing.
//
// Where things are: one file per family of methods (vm.go, snapshot.go, ...)
// with its rows of the method table; method.go turns a row
// into a handler; conn.go is one client, outbox.go its outgoing messages;
// hub.go distributes changes to all clients; listen.go is the socket. Package client
// is the other side, frame the framing.
package rpc

//go:generate go run ./internal/gen

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/sleep"
)

// Options of a Server. The zero value works, without consoles.
type Options struct {
	Version    string       // of the daemon
	RuntimeDir string       // where console sockets are made
	SSHConfig  string       // path of our own SSH configuration, for clients that do not follow Include
	Log        *slog.Logger // nil = discard
	// WriteTimeout is how long a client may leave a message unread before it is
	// dropped, FlushTimeout how long the last messages of a session may take.
	WriteTimeout time.Duration // 0 = 30 s
	FlushTimeout time.Duration // 0 = DefaultFlushTimeout
	// MessageTimeout is how long a client may take to send one message, from its
	// first byte to its last, and how long the message may wait until there is
	// room for it.
	MessageTimeout time.Duration // 0 = 30 s
	// MessageRoom is how many bytes the long messages of all clients may take that
	// are being read or wait for their answer, or for their operation to begin.
	MessageRoom int64 // 0 = two of the longest
	// CloseTimeout is how long Close lets short changes finish before it cancels
	// them.
	CloseTimeout time.Duration // 0 = DefaultCloseTimeout
}

// What Close takes, at most, besides what a request needs to end once it is cancelled.
const (
	DefaultCloseTimeout = 8 * time.Second
	DefaultFlushTimeout = 2 * time.Second
)

// Server serves a Core to any number of clients.
type Server struct {
	core    Core
	options Options
	log     *slog.Logger
	hub     *hub
	methods map[string]Method
	names   []string
	room    *semaphore.Weighted // for long messages of all clients; see intake.go

	ctx      context.Context // of short mutations, which outlive their client
	cancel   context.CancelFunc
	stopping chan struct{}
	poked    chan struct{}
	unwatch  func()
	work     sync.WaitGroup // consoles and the status
	sessions sync.WaitGroup

	mu     sync.Mutex
	closed bool
	told   recent // recovered operations and notices that a client was told of
}

// NewServer starts to follow the core. Close it.
func NewServer(core Core, o Options) *Server {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.WriteTimeout <= 0 {
		o.WriteTimeout = 30 * time.Second
	}
	if o.FlushTimeout <= 0 {
		o.FlushTimeout = DefaultFlushTimeout
	}
	if o.MessageTimeout <= 0 {
		o.MessageTimeout = 30 * time.Second
	}
	if o.MessageRoom <= 0 {
		o.MessageRoom = maxIncoming
	}
	if o.CloseTimeout <= 0 {
		o.CloseTimeout = DefaultCloseTimeout
	}
	srv := &Server{
		core: core, options: o, log: o.Log, methods: map[string]Method{},
		stopping: make(chan struct{}), poked: make(chan struct{}, 1), told: recent{limit: rememberEnded},
		room: semaphore.NewWeighted(o.MessageRoom),
	}
	srv.ctx, srv.cancel = context.WithCancel(context.Background())
	for _, m := range Methods() {
		srv.methods[m.Name] = m
		srv.names = append(srv.names, m.Name)
	}
	srv.hub = newHub(srv.poke, core.Backends())
	srv.unwatch = core.Watch(srv.hub.change)
	srv.hub.load(core.List(), core.Operations())
	srv.hub.refreshStatus(core.Backends())
	removeConsoles(o.RuntimeDir)
	srv.work.Go(srv.followStatus)
	return srv
}

// Serve accepts clients until ctx ends, the listener fails or its socket has been
// removed, and then ends all sessions in an orderly way.
func (srv *Server) Serve(ctx context.Context, l net.Listener) error {
	ctx, end := context.WithCancelCause(ctx)
	var watch sync.WaitGroup
	defer watch.Wait()
	defer end(nil)
	if own, ok := l.(*Listener); ok {
		watch.Go(func() { srv.watchLoss(ctx, own, end) })
	}
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	defer srv.Close()
	var clients sync.WaitGroup
	defer clients.Wait()
	for {
		conn, err := l.Accept()
		if err != nil && ctx.Err() == nil && passing(err) {
			srv.log.Warn("cannot accept clients for a while", "error", err)
			sleep.For(ctx, acceptPause)
			continue
		}
		if err != nil {
			srv.Close()
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("accept a client: %w", err)
		}
		if err := checkPeer(conn); err != nil {
			srv.log.Warn("client refused", "error", err)
			refuse(conn, err)
			continue
		}
		clients.Go(func() { srv.ServeConn(ctx, conn) })
	}
}

// acceptPause is how long Serve waits when the process or the system has run out
// of what a connection needs.
const acceptPause = 50 * time.Millisecond

// passing reports whether an error of Accept is no reason to end the daemon.
func passing(err error) bool {
	for _, e := range []error{unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.ECONNABORTED} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// Close ends all sessions and waits for them. Operations go on.
func (srv *Server) Close() {
	srv.mu.Lock()
	first := !srv.closed
	srv.closed = true
	srv.mu.Unlock()
	if first {
		close(srv.stopping)
	}
	impatient := time.AfterFunc(srv.options.CloseTimeout, srv.cancel)
	srv.sessions.Wait()
	impatient.Stop()
	srv.cancel()
	srv.work.Wait()
	if first {
		srv.unwatch()
	}
}

// enter counts a session in, unless the server is closed.
func (srv *Server) enter(*session) bool {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if !srv.closed {
		srv.sessions.Add(1)
	}
	return !srv.closed
}

func (srv *Server) exit(*session) { srv.sessions.Done() }

func (srv *Server) version() api.VersionResult {
	return api.VersionResult{Version: srv.options.Version, ProtocolVersion: api.ProtocolVersion, PID: os.Getpid()}
}

func (srv *Server) capabilities() api.Capabilities {
	return api.Capabilities{
		ProtocolVersion: api.ProtocolVersion, Revision: api.Revision, Methods: srv.names, Verbs: allVerbs, Backends: backendsOf(srv.core.Backends()),
		SSHConfigFile: srv.options.SSHConfig, Defaults: srv.core.Defaults(),
	}
}

// poke says that the status may be another one.
func (srv *Server) poke() {
	select {
	case srv.poked <- struct{}{}:
	default:
	}
}

// followStatus tells the clients when the status changes. It is asked for at every
// change, so it costs what is wrong and not what there is.
func (srv *Server) followStatus() {
	for {
		select {
		case <-srv.poked:
		case <-srv.ctx.Done():
			return
		}
		srv.hub.refreshStatus(srv.core.Backends())
	}
}

// backendProblem says what is wrong with the first backend that does not work.
func backendProblem(list []api.Backend) string {
	for _, b := range list {
		if b.Problem != nil {
			return fmt.Sprintf("backend %s: %s", b.Name, plainLine(b.Problem.Message))
		}
	}
	return ""
}

// firstTold reports whether no client was told of this operation or notice before.
func (srv *Server) firstTold(id string) bool {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return srv.told.add(id)
}

// refuse answers a client that is not let in, so that it can say why.
func refuse(conn net.Conn, err error) {
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	_, _ = conn.Write(framed(errorWithID([]byte("null"), err)))
	_ = conn.Close()
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

var errClosed = errors.New("the session is closed")

func parseProblem(err error) error {
	return problem.New(ProblemParse, "not a message: %w", err).WithHint("the protocol is JSON-RPC 2.0 with Content-Length headers")
}
