package guesttest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"
)

// lineConn speaks lines of JSON: QEMU's monitor and the guest agent.
type lineConn struct {
	net.Conn
	r *bufio.Reader
}

// dialUnix connects to a socket that QEMU is about to make.
func dialUnix(ctx context.Context, path string, over <-chan struct{}) (*lineConn, error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
		if err == nil {
			return &lineConn{conn, bufio.NewReader(conn)}, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w, last: %w", ctx.Err(), err)
		case <-over:
			return nil, errors.New("QEMU has ended")
		case <-tick.C:
		}
	}
}

// command sends one request and returns the line that answers it. Greetings and
// events in between are dropped.
func (c *lineConn) command(ctx context.Context, request string) ([]byte, error) {
	defer context.AfterFunc(ctx, func() { c.Conn.SetDeadline(time.Unix(1, 0)) })()
	if _, err := c.Write([]byte(request + "\n")); err != nil {
		return nil, err
	}
	for {
		line, err := c.r.ReadBytes('\n')
		if err != nil {
			return nil, fmt.Errorf("no answer to %s: %w", request, err)
		}
		var answer struct {
			Return json.RawMessage `json:"return"`
			Error  *struct {
				Desc string `json:"desc"`
			} `json:"error"`
		}
		if err := json.Unmarshal(line, &answer); err != nil {
			return nil, fmt.Errorf("answer %.200q: %w", line, err)
		}
		if answer.Error != nil {
			return nil, fmt.Errorf("%s: %s", request, answer.Error.Desc)
		}
		if answer.Return != nil {
			return answer.Return, nil
		}
	}
}
