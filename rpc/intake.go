package rpc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/rpc/frame"
)

const (
	// maxIncoming bounds the long messages of all clients that are being read or
	// wait for their answer or for their operation to begin, in bytes. What is made of
	// one while it is decoded takes some times that.
	maxIncoming = 2 * frame.MaxMessage
	// long is from where on a message counts, in bytes. Below it the number of
	// connections and of requests of each is the limit.
	long = 64 << 10
)

// errNoRoom ends a session whose message found no room in time.
var errNoRoom = errors.New("other messages use all the memory for long messages")

// message is a body with the room that it takes.
type message struct {
	body []byte
	free func() // gives the room back; may be called more than once
}

// receive reads the next message. A client may be silent as long as it wants, but
// what it has begun it has to finish: otherwise some clients that stop in the
// middle of long messages would hold the memory, and the room, for good.
func (st *stream) receive() (message, error) {
	if _, err := st.reader.Peek(1); err != nil {
		return message{}, err
	}
	limit := st.s.srv.options.MessageTimeout
	timed, canTime := st.conn.(interface{ SetReadDeadline(t time.Time) error })
	if canTime {
		if err := timed.SetReadDeadline(time.Now().Add(limit)); err != nil {
			return message{}, err
		}
	}
	n, err := frame.ReadLength(st.reader, frame.MaxMessage)
	if err != nil {
		return message{}, late(err, limit)
	}
	m := message{free: func() {}}
	if n > long {
		ctx, cancel := context.WithTimeout(st.s.ctx, limit)
		defer cancel()
		if st.s.srv.room.Acquire(ctx, int64(n)) != nil {
			return message{}, errNoRoom
		}
		held := true
		m.free = func() { // on the goroutine that reads, or with the request's lock held
			if held {
				held = false
				st.s.srv.room.Release(int64(n))
			}
		}
	}
	if m.body, err = frame.ReadBody(st.reader, n); err == nil && canTime {
		err = timed.SetReadDeadline(time.Time{})
	}
	if err != nil {
		m.free()
		return message{}, late(err, limit)
	}
	return m, nil
}

// late says what a deadline means here.
func late(err error, limit time.Duration) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return &frame.Error{Reason: fmt.Sprintf("a message was begun and not completed within %s", limit)}
	}
	return err
}

// envelope is what JSON-RPC 2.0 asks of every message, and jsonrpc2 does not look at.
type envelope struct {
	Version json.RawMessage `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"` // nil = there is none; "null" is not the same
	Method  json.RawMessage `json:"method"`
}

// check refuses what is no message of JSON-RPC 2.0. id is that of the message, to be
// answered with the error.
func (e envelope) check() (id json.RawMessage, err error) {
	id = json.RawMessage("null")
	if _, ok := parseID(e.ID); ok {
		id = e.ID
	}
	refused := func(format string, args ...any) (json.RawMessage, error) {
		return id, problem.New(ProblemRequest, "not a JSON-RPC 2.0 message: "+format, args...).
			WithHint("send one object with jsonrpc, method and params; batches are not supported")
	}
	switch {
	case string(e.Version) != `"2.0"`:
		return refused(`jsonrpc is %.20s, not "2.0"`, orNothing(e.Version))
	case e.Method != nil && string(e.ID) == "null":
		return refused("the id is null: leave it out for a notification")
	}
	return nil, nil
}

func orNothing(raw json.RawMessage) string {
	if raw == nil {
		return "missing"
	}
	return string(raw)
}

// decode makes a request or a response of a body. An error is answered by it, and
// ok is then false.
func (st *stream) decode(body []byte, v any) (ok bool) {
	var e envelope
	err := json.Unmarshal(body, &e)
	if err != nil && !json.Valid(body) {
		st.s.out.put(errorWithID([]byte("null"), parseProblem(err)))
		return false
	}
	if err == nil && bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{")) {
		if id, err := e.check(); err != nil {
			st.s.out.put(errorWithID(id, err))
			return false
		}
	}
	if err := json.Unmarshal(body, v); err != nil {
		st.s.out.put(errorWithID([]byte("null"), problem.New(ProblemRequest, "not a JSON-RPC 2.0 message: %w", err).
			WithHint("send one object with jsonrpc, method and params; batches are not supported")))
		return false
	}
	return true
}

// readProblem is an error of receive for the client to read; nil for one that has gone.
func readProblem(err error) error {
	var malformed *frame.Error
	switch {
	case errors.As(err, &malformed):
		return parseProblem(err)
	case errors.Is(err, errNoRoom):
		return problem.New(ProblemTooManyRequests, "%w", err).Retry()
	}
	return nil
}
