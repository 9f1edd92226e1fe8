package qmp

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"
)

// delimiter precedes a synchronisation: a byte that is never part of JSON, so
// both sides can throw away the half message of an earlier caller
// (qga/qapi-schema.json, guest-sync-delimited).
const delimiter = 0xFF

// Agent is a synchronised connection to the guest agent. It is for one
// goroutine; after any error but a refusal (*Error) it only can be closed.
type Agent struct {
	conn   net.Conn
	lines  *bufio.Reader
	broken error // the reply of an earlier command may still come: nothing after it can be told apart
}

// DialAgent connects to the agent's channel and synchronises, within ctx. A
// guest without a running agent shows as the end of ctx: QEMU accepts the
// connection whether or not an agent is running in the guest.
func DialAgent(ctx context.Context, path string) (*Agent, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("guest agent: %w", err)
	}
	a := &Agent{conn: conn, lines: bufio.NewReaderSize(conn, 4<<10)}
	if err := a.within(ctx, func() error { return a.sync() }); err != nil {
		conn.Close()
		return nil, fmt.Errorf("guest agent: %w", err)
	}
	return a, nil
}

// sync sends a random number and skips input until it comes back.
func (a *Agent) sync() error {
	id := rand.Int64N(1 << 53) // a JSON number that every parser keeps exactly
	line, err := encode(request{Execute: "guest-sync-delimited", Arguments: map[string]int64{"id": id}})
	if err != nil {
		return err
	}
	if _, err := a.conn.Write(append([]byte{delimiter}, line...)); err != nil {
		return err
	}
	for {
		line, err := readLine(a.lines)
		if err != nil {
			return err
		}
		if isSyncReply(line, id) {
			return nil
		}
	}
}

// isSyncReply reports whether line ends an exchange that began with id.
func isSyncReply(line []byte, id int64) bool {
	i := bytes.LastIndexByte(line, delimiter)
	if i < 0 {
		return false
	}
	m, err := decode(line[i+1:])
	if err != nil || m.ret == nil {
		return false
	}
	var got int64
	return json.Unmarshal(m.ret, &got) == nil && got == id
}

// Execute runs one command in the guest and puts its value into out (may be
// nil). The value is the guest's word: validate it.
func (a *Agent) Execute(ctx context.Context, command string, arguments, out any) error {
	return a.within(ctx, func() error {
		if err := a.send(command, arguments); err != nil {
			return err
		}
		line, err := readLine(a.lines)
		if err != nil {
			return fmt.Errorf("guest agent, %s: %w", command, err)
		}
		m, err := decode(line)
		if err != nil {
			return fmt.Errorf("guest agent, %s: %w", command, err)
		}
		if m.err != nil {
			return fmt.Errorf("guest agent, %s: %w", command, m.err)
		}
		if m.ret == nil {
			return fmt.Errorf("guest agent, %s: %w", command, ErrProtocol)
		}
		return unpack(command, m.ret, out)
	})
}

// Send runs a command that answers only when it fails, such as guest-shutdown,
// and does not wait.
func (a *Agent) Send(ctx context.Context, command string, arguments any) error {
	return a.within(ctx, func() error { return a.send(command, arguments) })
}

func (a *Agent) send(command string, arguments any) error {
	line, err := encode(request{Execute: command, Arguments: arguments})
	if err != nil {
		return err
	}
	if _, err := a.conn.Write(line); err != nil {
		return fmt.Errorf("guest agent, %s: %w", command, err)
	}
	return nil
}

// within runs f and cuts its reads and writes off when ctx ends.
func (a *Agent) within(ctx context.Context, f func() error) error {
	if a.broken != nil {
		return fmt.Errorf("%w: %w", ErrClosed, a.broken)
	}
	err := a.timed(ctx, f)
	var refused *Error
	if err != nil && !errors.As(err, &refused) {
		a.broken = err
	}
	return err
}

func (a *Agent) timed(ctx context.Context, f func() error) error {
	if err := a.conn.SetDeadline(time.Time{}); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { a.conn.SetDeadline(time.Unix(1, 0)) })
	err := f()
	if !stop() { // the cut-off may come at any time now, even if f was in time
		return fmt.Errorf("guest agent does not answer: %w", context.Cause(ctx))
	}
	return err
}

// Close ends the connection; the agent waits for the next one.
func (a *Agent) Close() error { return a.conn.Close() }
