package rpc

import (
	"context"
	"maps"
	"slices"

	"github.com/sourcegraph/jsonrpc2"
	"go.lsp.dev/protocol"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

// handle runs on the reading goroutine and must not block.
func (s *session) handle(r *jsonrpc2.Request) {
	if r.Notif {
		s.handleNotification(r)
		return
	}
	q := &request{session: s, id: r.ID, method: r.Method, params: r.Params, free: s.messages.taken()}
	defer q.recovered()
	switch {
	case r.Method == api.MethodInitialize:
		q.answer(s.initialize(q))
		return
	case r.Method != api.MethodVersion && !s.handshake:
		q.fail(problem.New(ProblemNotInitialized, "%s before initialize", r.Method).WithHint("send initialize first"))
		return
	case s.shuttingDown:
		q.fail(problem.New(ProblemShutDown, "%s after shutdown", r.Method).WithHint("send exit, or connect again"))
		return
	case r.Method == api.MethodShutdown:
		s.shuttingDown = true
		q.send([]byte(`,"result":`), joined{[]byte("null")})
		return
	}
	m, ok := s.srv.methods[r.Method]
	if !ok {
		q.fail(problem.New(ProblemMethod, "unknown method %.80q", r.Method).
			WithHint("the result of initialize lists the methods of this daemon; a newer daemon may have it"))
		return
	}
	m.serve(q)
}

func (s *session) initialize(q *request) (any, error) {
	if s.handshake {
		return nil, problem.New(ProblemRequest, "initialize has already been sent")
	}
	var p api.InitializeParams
	if err := decodeLenient(q.params, &p); err != nil {
		return nil, err
	}
	versions := p.InitializationOptions.ProtocolVersions
	if len(versions) > 0 && !slices.Contains(versions, api.ProtocolVersion) {
		return nil, problem.New(ProblemProtocol, "this daemon speaks protocol version %d, the client %v", api.ProtocolVersion, versions).
			WithHint("update the older one")
	}
	if name := plainLine(p.ClientInfo.Name); name != "" {
		s.client = name
		if v := plainLine(p.ClientInfo.Version); v != "" {
			s.client += " " + v
		}
	}
	s.wantsLog = p.InitializationOptions.OperationLog
	s.makesTokens = p.Capabilities.Window.WorkDoneProgress
	s.handshake = true
	s.log = s.log.With("client", s.client)
	return api.InitializeResult{
		Capabilities: api.ServerCapabilities{Experimental: api.ExperimentalCapabilities{Nixvm: s.srv.capabilities()}},
		ServerInfo:   api.ServerInfo{Name: "nixvmd", Version: s.srv.options.Version},
	}, nil
}

// handleNotification ignores what it does not know, as LSP asks.
func (s *session) handleNotification(r *jsonrpc2.Request) {
	switch r.Method {
	case api.MethodInitialized:
		s.initialized()
	case api.MethodExit:
		s.conn.Close()
	case api.MethodCancelRequest:
		var p api.CancelParams
		if decodeLenient(r.Params, &p) != nil {
			return
		}
		if id, ok := parseID(p.ID); ok {
			s.cancelRequest(id)
		}
	case api.MethodProgressCancel:
		var p api.WorkDoneProgressCancelParams
		if decodeLenient(r.Params, &p) == nil {
			s.cancelToken(p.Token)
		}
	}
}

// initialized sends the full state, the status, and what was recovered.
func (s *session) initialized() {
	if !s.handshake || s.notifying {
		return
	}
	s.notifying = true
	s.srv.hub.join(s)
	for _, op := range s.srv.core.Operations() {
		if op.State == api.OpInterrupted || op.State == api.OpUnresolved {
			s.tellRecovered(op)
		}
	}
	for _, n := range s.srv.core.Notices() {
		if s.srv.firstTold(n.ID) {
			s.tellNotice(n)
		}
	}
}

// tellNotice says what was done unasked: to all that are there at that time, else
// to the client that comes next.
func (s *session) tellNotice(n api.Notice) {
	s.out.put(notification(api.MethodShowMessage, api.MessageParams{Type: protocol.MessageTypeWarning, Message: plainLine(n.Text)}))
}

// tellRecovered reports once, to the first client, the outcome of an
// operation that the end of an earlier daemon interrupted, or that it waits for a
// choice.
func (s *session) tellRecovered(op api.Operation) {
	if !s.srv.firstTold(op.ID) {
		return
	}
	s.out.put(notification(api.MethodShowMessage, api.MessageParams{
		Type: protocol.MessageTypeWarning, Message: plainLine(op.Message), Operation: op.ID,
	}))
}

func (s *session) cancelRequest(id jsonrpc2.ID) {
	s.mu.Lock()
	r := s.requests[id]
	s.mu.Unlock()
	if r != nil {
		r.cancelNow()
	}
}

func (s *session) cancelToken(t api.Token) {
	s.mu.Lock()
	op, ok := s.tokens[t.String()]
	s.mu.Unlock()
	if ok {
		s.cancelOperation(op)
		return
	}
	// Its request is still being checked, or its operation prepared.
	if r := s.requestOf(t); r != nil {
		r.cancelNow()
	}
}

// requestOf is the pending request with a token that no operation reports to yet; nil if
// there is none.
func (s *session) requestOf(t api.Token) *request {
	s.mu.Lock()
	pending := slices.Collect(maps.Values(s.requests))
	s.mu.Unlock()
	for _, r := range pending {
		if r.hasToken(t) {
			return r
		}
	}
	return nil
}

// serveSubscribe follows an operation of any client.
func serveSubscribe(r *request) {
	p, err := decoded[api.OperationParams](r)
	if err != nil {
		r.fail(err)
		return
	}
	if _, err := r.session.srv.core.Operation(p.ID); err != nil {
		r.fail(err)
		return
	}
	r.subscription = true
	r.async(r.session.ctx, func(ctx context.Context) {
		r.left = ctx.Done()
		op, err := r.session.srv.core.Begun(ctx, p.ID)
		switch {
		case ctx.Err() != nil:
			r.fail(unsubscribed())
		case err != nil:
			r.fail(err)
		default:
			r.follow(op, api.Work{Tokens: p.Tokens})
		}
	})
}

// unsubscribed is the answer to a subscription that was cancelled.
func unsubscribed() error {
	return problem.New(problem.Cancelled, "no longer subscribed; the operation continues")
}

// gone is closed when a subscription is cancelled.
func (r *request) gone() <-chan struct{} { return r.left }
