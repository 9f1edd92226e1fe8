package proxmox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/console"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/backends/proxmox/pve"
	"github.com/nixvm/nixvm/internal/problem"
)

// Console opens the serial console, which QEMU gives to one connection at a time: ours is
// there while it has clients, so that the web interface gets at it at other times.
func (b *Backend) Console(ctx context.Context, ref backends.Ref) (io.ReadWriteCloser, error) {
	f, err := b.need(ctx, ref)
	if err != nil {
		return nil, err
	}
	if !up(f.status) {
		return nil, refusal.NotRunning(ref.Name)
	}
	line, err := b.consoles.Open(ctx, ref.Name, func(ctx context.Context) (console.Line, error) { return b.openLine(ctx, f.entry) })
	return line, b.failed(problem.Internal, "open the console of "+ref.Name, err)
}

// consoleRelease is the first one whose websockets take tokens (libpve-access-control 9.0.4).
var consoleRelease = version{9, 1}

func noConsole(v version) error {
	return problem.New(problem.Unsupported, "Proxmox VE %s opens consoles for passwords only, not for API tokens", v).
		WithHint("upgrade the nodes to Proxmox VE %s or later, or use the console of the web interface", consoleRelease)
}

// openLine asks for a terminal, and connects to it.
func (b *Backend) openLine(ctx context.Context, e entry) (console.Line, error) {
	v, err := b.version(ctx)
	if err != nil {
		return nil, err
	}
	if !v.atLeast(consoleRelease.major, consoleRelease.minor) {
		return nil, noConsole(v)
	}
	var proxy struct {
		Port         portText
		Ticket, User string
	}
	if err := b.api.Post(ctx, e.path("termproxy"), nil, &proxy); err != nil {
		return nil, err
	}
	conn, err := b.api.Websocket(ctx, e.path("vncwebsocket"), pve.Params{"port": string(proxy.Port), "vncticket": proxy.Ticket})
	if err != nil {
		return nil, err
	}
	l := &line{conn: conn, stop: make(chan struct{})}
	if err := l.greet(ctx, proxy.User+":"+proxy.Ticket+"\n"); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	l.wg.Go(l.stayAlive)
	return l, nil
}

// portText is a number that may be a string (recorded answer; the schema says integer).
type portText string

// UnmarshalJSON takes both.
func (p *portText) UnmarshalJSON(text []byte) error {
	*p = portText(bytes.Trim(text, `"`))
	return nil
}

// line is a terminal behind a websocket, in the protocol of termproxy (pve-xtermjs,
// main.rs): "0:LENGTH:INPUT", and "2" to keep it open; output is as it is.
type line struct {
	conn *websocket.Conn
	rest []byte // of the last message
	stop chan struct{}
	once sync.Once
	wg   sync.WaitGroup

	writing sync.Mutex // one writer at a time
}

const (
	greetLimit = 15 * time.Second
	alivePause = 30 * time.Second
)

// greet says who it is. The answer is OK, which output may follow.
func (l *line) greet(ctx context.Context, who string) error {
	stop := context.AfterFunc(ctx, func() { l.conn.Close() })
	defer stop()
	l.conn.SetReadDeadline(time.Now().Add(greetLimit))
	err := l.conn.WriteMessage(websocket.BinaryMessage, []byte(who))
	if err == nil {
		_, l.rest, err = l.conn.ReadMessage()
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	after, ok := bytes.CutPrefix(l.rest, []byte("OK"))
	if err == nil && !ok {
		err = fmt.Errorf("the terminal answers %.40q", l.rest)
	}
	if err != nil {
		return fmt.Errorf("log in to the terminal: %w", err)
	}
	l.rest = after
	return l.conn.SetReadDeadline(time.Time{})
}

func (l *line) Read(p []byte) (int, error) {
	for len(l.rest) == 0 {
		_, message, err := l.conn.ReadMessage()
		if err != nil {
			return 0, err
		}
		l.rest = message
	}
	n := copy(p, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

func (l *line) Write(p []byte) (int, error) {
	if err := l.send(append(fmt.Appendf(nil, "0:%d:", len(p)), p...)); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (l *line) send(message []byte) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	return l.conn.WriteMessage(websocket.BinaryMessage, message)
}

// SetWriteDeadline bounds writes.
func (l *line) SetWriteDeadline(at time.Time) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	return l.conn.SetWriteDeadline(at)
}

// stayAlive keeps proxies on the way from ending the connection.
func (l *line) stayAlive() {
	tick := time.NewTicker(alivePause)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if l.SetWriteDeadline(time.Now().Add(alivePause)) != nil || l.send([]byte("2")) != nil {
				return // the reader finds out
			}
		case <-l.stop:
			return
		}
	}
}

// Close ends it.
func (l *line) Close() error {
	var err error
	l.once.Do(func() {
		close(l.stop)
		err = l.conn.Close()
	})
	l.wg.Wait()
	return err
}
