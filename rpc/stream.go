package rpc

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

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
	free   func()        // gives back the room of the message that was read last
}

func newStream(r io.Reader, s *session) *stream {
	return &stream{reader: bufio.NewReader(r), conn: r, s: s, ended: make(chan struct{}), free: func() {}}
}

// ReadObject reads the next message that is JSON of the right shape; others are
// answered with an error and skipped. Wrong framing ends the session.
func (st *stream) ReadObject(v any) error {
	err := st.read(v)
	if err != nil {
		st.free()
		close(st.ended) // jsonrpc2 reads nothing after an error
	}
	return err
}

func (st *stream) read(v any) error {
	for {
		st.free() // of a message that no request has taken over
		if st.closed.Load() {
			return io.EOF
		}
		st.s.out.awaitRoom()
		m, err := st.receive()
		if err != nil {
			if p := readProblem(err); p != nil {
				st.s.out.put(errorWithID([]byte("null"), p))
			}
			st.awaitAnswers()
			return err
		}
		st.free = m.free
		if st.decode(m.body, v) {
			return nil
		}
	}
}

// taken hands the room of the message that was read last to its request.
func (st *stream) taken() (free func()) {
	free, st.free = st.free, func() {}
	return free
}

// awaitAnswers waits for the answers of a client that has sent its last request,
// unless it is gone altogether: then there is nothing to wait for.
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

// errorWithID answers a message with an error; the id is null where it is not known.
func errorWithID(id []byte, err error) []byte {
	body := append([]byte(`{"jsonrpc":"2.0","id":`), id...)
	body = append(append(body, `,"error":`...), marshal(wireError(err))...)
	return append(body, '}')
}

func framed(body []byte) []byte { return frame.Append(nil, body) }
