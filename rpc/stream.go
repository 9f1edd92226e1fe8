package rpc

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"sync/atomic"

	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/rpc/frame"
)

// stream is what jsonrpc2 reads requests from and writes our own requests to.
// Answers do not go through it but straight into the outbox.
type stream struct {
	reader *bufio.Reader
	s      *session
	closed atomic.Bool
}

func newStream(r io.Reader, s *session) *stream { return &stream{reader: bufio.NewReader(r), s: s} }

// ReadObject reads the next message that is JSON of the right shape; others are
// answered with an error and skipped. Wrong framing ends the session.
func (st *stream) ReadObject(v any) error {
	for {
		if st.closed.Load() {
			return io.EOF
		}
		st.s.out.awaitRoom()
		body, err := frame.Read(st.reader, frame.MaxMessage)
		if err != nil {
			var malformed *frame.Error
			if errors.As(err, &malformed) {
				st.s.out.put(errorWithoutID(parseProblem(err)))
			}
			st.s.awaitIdle()
			return err
		}
		if err := json.Unmarshal(body, v); err == nil {
			return nil
		} else if !json.Valid(body) {
			st.s.out.put(errorWithoutID(parseProblem(err)))
		} else {
			st.s.out.put(errorWithoutID(problem.New(ProblemRequest, "not a JSON-RPC 2.0 message: %w", err).
				WithHint("send one object with jsonrpc, method and params; batches are not supported")))
		}
	}
}

// WriteObject sends a request of ours.
func (st *stream) WriteObject(v any) error {
	if st.closed.Load() {
		return errClosed
	}
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	st.s.out.put(body)
	return nil
}

// Close ends reading. The connection itself stays open for the last answers.
func (st *stream) Close() error {
	st.closed.Store(true)
	return nil
}

// errorWithoutID answers a message whose id is not known.
func errorWithoutID(err error) []byte {
	body := append([]byte(`{"jsonrpc":"2.0","id":null,"error":`), marshal(wireError(err))...)
	return append(body, '}')
}

func framed(body []byte) []byte { return frame.Append(nil, body) }
