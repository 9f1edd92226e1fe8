package rpc

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"strconv"
	"sync"

	"github.com/sourcegraph/jsonrpc2"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

// maxRequests is how many requests of one client may be waiting for an answer.
const maxRequests = 256

// session is one client.
type session struct {
	srv      *Server
	out      *outbox
	conn     *jsonrpc2.Conn
	messages *stream
	ctx      context.Context // ends when the client is gone
	cancel   context.CancelFunc
	log      *slog.Logger

	// Set by initialize, on the reading goroutine; read afterwards.
	client       string // "Emacs 30.1"
	wantsLog     bool
	makesTokens  bool // the client answers window/workDoneProgress/create
	handshake    bool
	notifying    bool // initialized has come
	shuttingDown bool

	mu       sync.Mutex
	closed   bool
	stopping bool // the daemon ends: what comes now is refused
	requests map[jsonrpc2.ID]*request
	tokens   map[string]string // progress token -> operation
	tokenSeq int
	work     sync.WaitGroup // goroutines of requests
	idle     *sync.Cond     // requests became empty, or closed
}

// ServeConn serves one client until it goes away, ctx ends, or the server is
// closed. It closes conn, whose Close must end a Read and a Write that wait.
func (srv *Server) ServeConn(ctx context.Context, conn io.ReadWriteCloser) {
	s := &session{
		srv: srv, out: newOutbox(conn), log: srv.log, client: "a client without a name",
		requests: map[jsonrpc2.ID]*request{}, tokens: map[string]string{},
	}
	s.idle = sync.NewCond(&s.mu)
	if !srv.enter(s) {
		conn.Close()
		return
	}
	defer srv.exit(s)
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	defer s.cancel()

	var writer sync.WaitGroup
	var dropped error
	messages := newStream(conn, s)
	writer.Go(func() {
		dropped = s.out.run(srv.options.WriteTimeout)
		conn.Close() // ends the reader as well
		s.close()    // and all requests whose answers cannot be sent
	})
	handling := make(chan struct{}) // s.conn is set; the reader starts before NewConn returns
	s.messages = messages
	s.conn = jsonrpc2.NewConn(s.ctx, messages, gate{handling, s}, jsonrpc2.SetLogger(discard{}))
	close(handling)
	select {
	case <-s.conn.DisconnectNotify():
	case <-ctx.Done():
		s.stop(ctx)
	case <-srv.stopping:
		s.stop(ctx)
	}
	srv.hub.leave(s)
	s.close()
	s.work.Wait()
	s.out.finish(srv.options.FlushTimeout)
	s.conn.Close()
	conn.Close()
	writer.Wait()
	<-messages.ended
	if dropped != nil {
		s.log.Debug("client dropped", "error", dropped)
	}
}

// gate lets requests through once the session is complete.
type gate struct {
	open <-chan struct{}
	s    *session
}

func (g gate) Handle(_ context.Context, _ *jsonrpc2.Conn, r *jsonrpc2.Request) {
	<-g.open
	g.s.handle(r)
}

type discard struct{}

func (discard) Printf(string, ...any) {}

// stop answers what waits and ends the session in an orderly way: the daemon goes,
// and says why when ctx has a cause of its own.
func (s *session) stop(ctx context.Context) {
	message := stopping
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, ctx.Err()) {
		message += ": " + cause.Error()
	}
	s.mu.Lock()
	s.stopping = true
	waiting := make([]*request, 0, len(s.requests))
	for _, r := range s.requests {
		waiting = append(waiting, r)
	}
	s.mu.Unlock()
	for _, r := range waiting {
		r.fail(stoppingProblem(message))
	}
	if s.srv.hub.joined(s) {
		s.out.put(notification(api.MethodServerStatus, api.ServerStatusParams{
			Health: api.HealthWarning, Quiescent: true, Message: message,
		}))
	}
}

// close ends every goroutine of the session.
func (s *session) close() {
	s.mu.Lock()
	s.closed = true
	s.idle.Broadcast()
	s.mu.Unlock()
	s.cancel()
}

// who says on whose behalf an operation runs.
func (s *session) who() string { return s.client }

func (s *session) nextToken() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokenSeq++
	return strconv.Itoa(s.tokenSeq)
}

func (s *session) ownToken(t api.Token, op string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens[t.String()] = op
}

// disown forgets a token whose progress has ended.
func (s *session) disown(t api.Token) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.tokens, t.String())
}

// awaitIdle blocks until no request waits for an answer. At the end of the
// client's input its requests are still answered: a script may send them and
// close its end.
func (s *session) awaitIdle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.requests) > 0 && !s.closed {
		s.idle.Wait()
	}
}

// request is one request that waits for its answer.
type request struct {
	session *session
	id      jsonrpc2.ID
	method  string
	params  *json.RawMessage

	mu           sync.Mutex
	free         func() // gives back the room that the message takes
	answered     bool
	cancelled    bool
	cancel       context.CancelFunc // of the handler's context; nil until it runs
	token        api.Token          // of its progress
	op           string             // the operation that it began
	subscription bool               // it only follows: cancelling ends no operation
	left         <-chan struct{}    // of a subscription: closed when it is cancelled
}

// async runs fn in its own goroutine; $/cancelRequest cancels its context until
// the request has begun an operation.
func (r *request) async(parent context.Context, fn func(context.Context)) {
	s := r.session
	ctx, cancel := context.WithCancel(parent)
	if err := s.register(r); err != nil {
		cancel()
		r.fail(err)
		return
	}
	r.mu.Lock()
	r.cancel = cancel
	r.mu.Unlock()
	go func() {
		defer s.work.Done()
		defer r.release() // one that goes on without its client is not answered
		defer s.unregister(r)
		defer cancel()
		defer r.recovered()
		fn(ctx)
	}()
}

// release gives back the room that the message takes.
func (r *request) release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.free()
}

func (s *session) register(r *request) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed || s.stopping:
		return stoppingProblem(stopping)
	case len(s.requests) >= maxRequests:
		return problem.New(ProblemTooManyRequests, "%d requests of this client are already pending", maxRequests).Retry()
	case s.requests[r.id] != nil:
		return problem.New(ProblemRequest, "a request with id %s is already pending", r.id)
	}
	s.requests[r.id] = r
	s.work.Add(1)
	return nil
}

func (s *session) unregister(r *request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.requests, r.id)
	if len(s.requests) == 0 {
		s.idle.Broadcast()
	}
}

// recovered turns a panic of a handler into an answer: one bad request must not
// take the daemon, and everybody's operations, with it.
func (r *request) recovered() {
	if v := recover(); v != nil {
		r.session.log.Error("a handler panicked", "method", r.method, "panic", v)
		r.fail(problem.New(problem.Internal, "%s: internal error", r.method).WithHint("the daemon's log has the details"))
	}
}

func (r *request) setToken(t api.Token) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.token = t
}

func (r *request) hasToken(t api.Token) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !t.IsZero() && r.token == t
}

// cancelNow is $/cancelRequest.
func (r *request) cancelNow() {
	r.mu.Lock()
	r.cancelled = true
	op, cancel := r.op, r.cancel
	r.mu.Unlock()
	if op != "" && !r.subscription {
		r.session.cancelOperation(op)
		return
	}
	if cancel != nil {
		cancel()
	}
}

// cancelOperation asks the core; an operation that is not known any more has
// ended, which is what was asked for.
func (s *session) cancelOperation(id string) {
	if err := s.srv.core.Cancel(id); err != nil {
		s.log.Debug("cannot cancel", "operation", id, "error", err)
	}
}

// answer sends the result, or the error. The first answer counts.
func (r *request) answer(result any, err error) {
	if err != nil {
		r.fail(err)
		return
	}
	switch m := result.(type) {
	case listResult:
		r.session.srv.hub.sendList(r)
	case machineResult:
		if !r.session.srv.hub.sendMachine(r, m) {
			r.answer(m.otherwise())
		}
	default:
		r.sendResult(joined{marshal(result)})
	}
}

func (r *request) sendResult(value joined) { r.send([]byte(`,"result":`), value) }

// The results that hold the state of machines. They are made and put into the
// outbox in one go: an answer must not reach the client after a didChange that
// is newer than it.
type (
	listResult    struct{}
	machineResult struct {
		name      string
		before    []byte              // JSON before the machine; "}" comes after it
		otherwise func() (any, error) // the answer when it does not exist
	}
)

func (r *request) fail(err error) {
	if problem.HasCode(problem.From(err), problem.Cancelled) && r.session.srv.ctx.Err() != nil {
		err = stoppingProblem(stopping)
	}
	r.send([]byte(`,"error":`), joined{marshal(wireError(err))})
}

func (r *request) send(field []byte, value joined) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.answered {
		return
	}
	r.answered = true
	r.free()
	head := append([]byte(`{"jsonrpc":"2.0","id":`), idJSON(r.id)...)
	pieces := append(joined{append(head, field...)}, value...)
	r.session.out.put(append(pieces, []byte("}"))...)
}

// idJSON undoes what jsonrpc2 does to negative numbers: its ids have no sign.
func idJSON(id jsonrpc2.ID) []byte {
	if id.IsString {
		return marshal(id.Str)
	}
	return strconv.AppendInt(nil, int64(id.Num), 10)
}

// parseID is the inverse, for $/cancelRequest.
func parseID(raw json.RawMessage) (jsonrpc2.ID, bool) {
	var n int64
	if json.Unmarshal(raw, &n) == nil && string(raw) != "null" {
		return jsonrpc2.ID{Num: uint64(n)}, true
	}
	var s string
	if json.Unmarshal(raw, &s) == nil && string(raw) != "null" {
		return jsonrpc2.ID{Str: s, IsString: true}, true
	}
	return jsonrpc2.ID{}, false
}

// stopping is what a client reads when the daemon ends.
const stopping = "the daemon is stopping"

func stoppingProblem(message string) error {
	return problem.New(ProblemStopping, "%s", message).
		WithHint("operations continue when it is running again; nixvmd operations lists them").Retry()
}

// follow answers when the operation has ended.
func (r *request) follow(op api.Operation, w api.Work) {
	r.release() // an operation may take hours, and nothing of the message is needed any more
	s := r.session
	r.mu.Lock()
	r.op = op.ID
	cancelled := r.cancelled && !r.subscription
	r.mu.Unlock()
	if cancelled {
		s.cancelOperation(op.ID)
	}
	if w.Detach {
		r.answer(api.OperationResult{Operation: operationOf(op)}, nil)
		return
	}

	f := newFollower(s)
	defer f.leave()
	defer s.srv.hub.unfollow(op.ID, f)
	r.reportTo(f, op, w.WorkDoneToken)
	if ended := s.srv.hub.follow(op, f); ended {
		last, err := s.srv.core.Operation(op.ID)
		if err != nil {
			r.fail(err)
			return
		}
		f.update(last)
	}
	r.await(f)
}

func (r *request) reportTo(f *follower, op api.Operation, token api.Token) {
	s := r.session
	switch {
	case !token.IsZero():
		f.useToken(token, op)
	case s.makesTokens && op.State == api.OpRunning:
		s.work.Go(func() { s.askForToken(s.ctx, f, op) })
	}
}

// await sends the answer that the end of the operation is.
func (r *request) await(f *follower) {
	s := r.session
	var left <-chan struct{}
	if r.subscription {
		left = r.gone()
	}
	select {
	case <-f.done:
	case <-left:
		r.fail(unsubscribed())
		return
	case <-s.ctx.Done():
		return // no client to answer; the operation continues
	}
	r.answer(s.outcome(f.latest()))
}

// outcome is the answer to a request whose operation has ended.
func (s *session) outcome(op api.Operation) (any, error) {
	if op.State != api.OpSucceeded {
		p := op.Problem
		switch {
		case p != nil:
		case op.State == api.OpCancelled:
			p = problem.New(problem.Cancelled, "%s was cancelled", title(op))
		case op.State == api.OpInterrupted:
			p = problem.New(problem.OperationInterrupt, "%s was interrupted: %s", title(op), op.Message)
		default:
			p = problem.New(problem.Internal, "%s failed: %s", title(op), op.Message)
		}
		failed := *p
		failed.Operation = op.ID
		return nil, &failed
	}
	result := api.OperationResult{Operation: operationOf(op)}
	before := append([]byte(`{"operation":`), marshal(result.Operation)...)
	return machineResult{
		name: cmp.Or(op.NewName, op.Machine), before: append(before, `,"vm":`...),
		otherwise: func() (any, error) { return result, nil },
	}, nil
}
