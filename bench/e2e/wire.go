package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strconv"
	"time"
)

// conn speaks the protocol as a foreign client would: by its documents, without
// our own client library.
type conn struct {
	net.Conn
	in       *bufio.Reader
	next     int
	received time.Time // when the last message was complete
}

// dial connects as soon as the daemon listens, and initializes.
func dial(ctx context.Context, socket string) (*conn, error) {
	var d net.Dialer
	// The daemon is being started: half a millisecond is the resolution of the figure.
	ticker := time.NewTicker(500 * time.Microsecond)
	defer ticker.Stop()
	for {
		c, err := d.DialContext(ctx, "unix", socket)
		if err == nil {
			client := &conn{Conn: c, in: bufio.NewReader(c)}
			if err := client.call("initialize", map[string]any{"clientInfo": map[string]string{"name": "bench"}}, nil); err != nil {
				return nil, err
			}
			return client, client.send(map[string]any{"jsonrpc": "2.0", "method": "initialized", "params": map[string]any{}})
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for %s: %w", socket, err)
		case <-ticker.C:
		}
	}
}

func (c *conn) send(message any) error {
	body, err := json.Marshal(message)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c, "Content-Length: %d\r\n\r\n%s", len(body), body)
	return err
}

// call sends a request and waits for its answer; notifications on the way are
// read and dropped.
func (c *conn) call(method string, params, result any) error {
	c.next++
	if err := c.send(map[string]any{"jsonrpc": "2.0", "id": c.next, "method": method, "params": params}); err != nil {
		return err
	}
	for {
		body, err := c.receive()
		if err != nil {
			return fmt.Errorf("%s: %w", method, err)
		}
		var answer struct {
			ID     json.RawMessage
			Method string
			Result json.RawMessage
			Error  *struct{ Message string }
		}
		if err := json.Unmarshal(body, &answer); err != nil {
			return fmt.Errorf("%s: %w", method, err)
		}
		switch {
		case answer.Method != "" || string(answer.ID) != strconv.Itoa(c.next):
			continue
		case answer.Error != nil:
			return fmt.Errorf("%s: %s", method, answer.Error.Message)
		case result == nil:
			return nil
		}
		return json.Unmarshal(answer.Result, result)
	}
}

func (c *conn) receive() ([]byte, error) {
	header, err := textproto.NewReader(c.in).ReadMIMEHeader()
	if err != nil {
		return nil, err
	}
	length, err := strconv.Atoi(header.Get("Content-Length"))
	if err != nil {
		return nil, err
	}
	body := make([]byte, length)
	_, err = io.ReadFull(c.in, body)
	c.received = time.Now()
	return body, err
}
