package pve

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

// maxMessage bounds a message of a websocket, in bytes.
const maxMessage = 1 << 20

// Websocket opens one, authenticated by the token, which the server allows from Proxmox VE
// 9.1 on.
func (c *Client) Websocket(ctx context.Context, path string, p Params) (*websocket.Conn, error) {
	secret, err := c.config.Secret.read(ctx)
	if err != nil {
		return nil, err
	}
	dialer := websocket.Dialer{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: c.transport.wire.TLSClientConfig.Clone(), HandshakeTimeout: 30 * time.Second,
		Subprotocols: []string{"binary"},
	}
	dialer.TLSClientConfig.NextProtos = nil // HTTP/2 has no such upgrade
	header := http.Header{"Authorization": {c.transport.authorization(secret)}}
	conn, answer, err := dialer.DialContext(ctx, "wss"+strings.TrimPrefix(p.query(c.base()+path), "https"), header)
	switch {
	case err == nil:
		conn.SetReadLimit(maxMessage)
		return conn, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.Is(err, websocket.ErrBadHandshake) && answer != nil:
		body, _ := io.ReadAll(io.LimitReader(answer.Body, maxError)) // what there is of it
		e := readError(answer, body)
		e.Method, e.Path = http.MethodGet, path
		return nil, e
	}
	return nil, c.unanswered(http.MethodGet, path, err)
}
