package rpc

import (
	"context"
	"strings"
	"sync"
	"time"

	"go.lsp.dev/protocol"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/plaintext"
)

// follower carries one operation to one request of one client: its progress, if
// there is a token for it, and its end.
type follower struct {
	session *session
	done    chan struct{} // closed when the operation has ended

	mu      sync.Mutex
	op      api.Operation // latest
	over    bool
	token   api.Token
	left    bool   // it is no longer awaited
	percent int    // last sent
	message string // last sent
}

func newFollower(s *session) *follower {
	return &follower{session: s, done: make(chan struct{}), percent: -1}
}

// update takes the next state. After the end it takes nothing.
func (f *follower) update(op api.Operation) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over {
		return
	}
	f.op = op
	if op.State != api.OpRunning {
		f.over = true
		f.send(api.WorkDoneProgress{Kind: protocol.WorkDoneProgressKindEnd, Message: endMessage(op)})
		close(f.done)
		return
	}
	f.report()
}

// useToken begins to report: begin, then the state as it is.
func (f *follower) useToken(t api.Token, first api.Operation) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over || f.left || !f.token.IsZero() {
		return
	}
	f.session.ownToken(t, first.ID)
	if f.op.ID == "" {
		f.op = first
	}
	f.token = t
	begin := api.WorkDoneProgress{
		Kind: protocol.WorkDoneProgressKindBegin, Title: title(f.op), Cancellable: true, Operation: f.op.ID,
	}
	if f.op.State == api.OpRunning {
		// Clients that see no percentage in begin show none later.
		percent := max(f.op.Progress(), 0)
		begin.Percentage = &percent
	}
	f.send(begin)
	if f.op.State == api.OpRunning {
		f.report()
	}
}

// leave ends the use of the token.
func (f *follower) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.left = true
	if f.token.IsZero() {
		return
	}
	f.session.disown(f.token)
	if !f.over {
		f.send(api.WorkDoneProgress{Kind: protocol.WorkDoneProgressKindEnd, Message: "no longer followed"})
	}
}

// report sends what is new; the lock is held.
func (f *follower) report() {
	message, percent := progressLine(f.op), max(f.op.Progress(), f.percent)
	if f.token.IsZero() || (message == f.message && percent == f.percent) {
		return
	}
	f.message, f.percent = message, percent
	value := api.WorkDoneProgress{Kind: protocol.WorkDoneProgressKindReport, Cancellable: true, Message: message}
	if percent >= 0 {
		value.Percentage = &percent
	}
	f.session.out.putLatest("progress "+f.token.String(), notification(api.MethodProgress, api.ProgressParams{Token: f.token, Value: value}))
}

func (f *follower) send(value api.WorkDoneProgress) {
	if f.token.IsZero() {
		return
	}
	f.session.out.put(notification(api.MethodProgress, api.ProgressParams{Token: f.token, Value: value}))
}

// latest returns the newest state.
func (f *follower) latest() api.Operation {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.op
}

// verbs are what people read.
var verbs = map[api.Kind]string{
	api.KindSnapshot:        "Snapshot of",
	api.KindRestoreSnapshot: "Restore a snapshot of",
	api.KindDeleteSnapshot:  "Delete a snapshot of",
	api.KindBuildImage:      "Build image",
	api.KindBackup:          "Back up",
	api.KindRestoreBackup:   "Restore a backup of",
	api.KindResolve:         "Resolve an operation of",
}

// title says what an operation does, e.g. "Create demo".
func title(op api.Operation) string {
	verb, ok := verbs[op.Kind]
	if !ok && op.Kind != "" {
		verb = strings.ToUpper(string(op.Kind[:1])) + string(op.Kind[1:])
	}
	return strings.TrimSpace(verb + " " + op.Subject())
}

func progressLine(op api.Operation) string {
	if op.Message != "" {
		return plainLine(op.Message)
	}
	return op.Step
}

func endMessage(op api.Operation) string {
	switch {
	case op.State == api.OpSucceeded:
		return ""
	case op.Problem != nil:
		return plainLine(op.Problem.Message)
	case op.Message != "":
		return plainLine(op.Message)
	}
	return string(op.State)
}

// askForToken asks the client for a token of its own, as LSP wants it from a
// server that begins progress unasked. It must not run on the reading goroutine:
// the answer comes through it.
func (s *session) askForToken(ctx context.Context, f *follower, op api.Operation) {
	token := api.StringToken("nixvm/" + op.ID + "/" + s.nextToken())
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := s.conn.Call(ctx, api.MethodProgressCreate, api.WorkDoneProgressCreateParams{Token: token}, nil); err != nil {
		return // the client does not want it
	}
	f.useToken(token, op)
}

// logMessage makes one line of tool output presentable: it is anything that a build
// or a guest printed.
func logMessage(l api.LogLine) api.MessageParams {
	return api.MessageParams{Type: protocol.MessageTypeLog, Message: plainLine(l.Line), Operation: l.Operation, Vertex: l.Vertex}
}

// maxLogLine is the longest line of tool output that is passed on, in bytes.
const maxLogLine = 4096

// plainLine removes what would move a terminal's cursor or change its colours.
func plainLine(s string) string { return plaintext.Line(s, maxLogLine) }

// plainText is plainLine for what may have several lines, such as an error that
// ends with the last words of a tool.
func plainText(s string) string { return plaintext.Lines(s, maxLogLine) }

func lostLines(n int) []byte {
	return notification(api.MethodLogMessage, api.MessageParams{
		Type: protocol.MessageTypeLog, Message: plural(n, "line") + " of output dropped: this client reads too slowly",
	})
}
