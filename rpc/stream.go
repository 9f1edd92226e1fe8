package rpc

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/rpc/frame"
)

// stream is what jsonrpc2 reads requests from and writes our own requests to.
// Answers do not go through it but straight into the outbox.
type stream struct {
	reader *bufio.Reader
	conn   io.Reader
	s      *session
	closed atomic.Bool
	ended  chan struct{} // closed when nothing is read any more
}

func newStream(r io.Reader, s *session) *stream {
	return &stream{reader: bufio.NewReader(r), conn: r, s: s, ended: make(chan struct{})}
}

// ReadObject reads the next message that is JSON of the right shape; others are
// answered with an error and skipped. Wrong framing ends the session.
func (st *stream) ReadObject(v any) error {
	err := st.read(v)
	if err != nil {
		close(st.ended) // jsonrpc2 reads nothing after an error
	}
	return err
}

func (st *stream) read(v any) error {
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
			st.awaitAnswers()
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

// awaitAnswers waits for the answers of a client that has sent its last request,
// unless it is gone altogether: then there is nobody to wait for.
func (st *stream) awaitAnswers() {
	if conn, ok := st.conn.(*net.UnixConn); ok {
		var watch sync.WaitGroup
		stop := make(chan struct{})
		watch.Go(func() {
			if awaitHangup(conn, stop) {
				st.s.close()
			}
		})
		defer watch.Wait()
		defer conn.SetReadDeadline(time.Unix(1, 0)) // ends the watch
		defer close(stop)
	}
	st.s.awaitIdle()
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
