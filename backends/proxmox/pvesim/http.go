package pvesim

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// The connections are served here and not by net/http, since the reason phrase
// of the status line is part of the behaviour of Proxmox VE (it carries the first
// line of the message), and since a fault may close a connection in any state.

// maxBody is the limit of a body that is not an upload: facts, "for data too large".
const maxBody = 512 << 10

// A response is an answer; the zero status closes the connection without one.
type response struct {
	status int
	reason string
	kind   string
	body   []byte
	// takeover serves the connection from here on, after the header.
	header   [][2]string
	takeover func(conn net.Conn, r *bufio.Reader)
}

func (s *Server) serveConn(conn net.Conn) {
	defer func() {
		conn.Close()
		s.mu.Lock()
		delete(s.conns, conn)
		s.mu.Unlock()
	}()
	reader := bufio.NewReaderSize(conn, 64<<10)
	for {
		req, err := http.ReadRequest(reader)
		if err != nil {
			return
		}
		if strings.EqualFold(req.Header.Get("Expect"), "100-continue") {
			if _, err := io.WriteString(conn, "HTTP/1.1 100 Continue\r\n\r\n"); err != nil {
				return
			}
		}
		answer := s.serve(req)
		if answer.status == 0 {
			return
		}
		// What is left of the body, so that the client can read the answer.
		_, _ = io.Copy(io.Discard, req.Body)
		if err := answer.write(conn, req); err != nil {
			return
		}
		if answer.takeover != nil {
			answer.takeover(conn, reader)
			return
		}
		if req.Close {
			return
		}
	}
}

func (r response) write(w io.Writer, req *http.Request) error {
	kind := r.kind
	if kind == "" {
		kind = "application/json;charset=UTF-8"
	}
	reason := r.reason
	if reason == "" {
		reason = http.StatusText(r.status)
	}
	var head strings.Builder
	fmt.Fprintf(&head, "HTTP/1.1 %d %s\r\n", r.status, reason)
	for _, line := range r.header {
		fmt.Fprintf(&head, "%s: %s\r\n", line[0], line[1])
	}
	if r.takeover == nil {
		connection := "Keep-Alive"
		if req.Close {
			connection = "close"
		}
		fmt.Fprintf(&head, "Cache-Control: max-age=0\r\nConnection: %s\r\nDate: %s\r\nPragma: no-cache\r\nServer: pve-api-daemon/3.0\r\nContent-Length: %d\r\n",
			connection, time.Now().UTC().Format(http.TimeFormat), len(r.body))
		if len(r.body) > 0 {
			fmt.Fprintf(&head, "Content-Type: %s\r\n", kind)
		}
	}
	head.WriteString("\r\n")
	if req.Method == http.MethodHead {
		r.body = nil
	}
	_, err := w.Write(append([]byte(head.String()), r.body...))
	return err
}

var errTooLarge = errors.New("for data too large")

// readBody reads what is not an upload.
func readBody(req *http.Request) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(req.Body, maxBody+1))
	if err != nil {
		return nil, fmt.Errorf("read the request: %w", err)
	}
	if len(body) > maxBody {
		return nil, errTooLarge
	}
	return body, nil
}
