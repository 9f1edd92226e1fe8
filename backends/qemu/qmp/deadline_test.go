package qmp

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// slowDeadline is a connection whose Write outlasts its context, and on which the
// deadline that comes of it takes its time.
type slowDeadline struct {
	net.Conn
	end     func()
	coming  chan struct{} // closed when the deadline is about to be set
	release chan struct{}
}

func (c slowDeadline) SetWriteDeadline(t time.Time) error {
	if t.IsZero() {
		return nil
	}
	close(c.coming)
	<-c.release
	return nil
}

func (c slowDeadline) Write(p []byte) (int, error) {
	c.end()
	<-c.coming
	return len(p), nil
}

// The deadline of a call that has ended must not hit the next one: its line would be
// taken for half a line, and the connection be given up.
func TestTheNextWriteWaitsForTheDeadlineOfTheLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		conn := slowDeadline{end: cancel, coming: make(chan struct{}), release: make(chan struct{})}
		c := &Client{conn: conn, writing: make(chan struct{}, 1)}
		written := make(chan error, 1)
		go func() { written <- c.write(ctx, request{Execute: "stop"}) }()
		synctest.Wait()
		if len(c.writing) != 1 {
			t.Error("the next one may write before the deadline was set")
		}
		close(conn.release)
		if err := <-written; err != nil {
			t.Error(err)
		}
	})
}
