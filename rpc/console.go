package rpc

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/termfilter"
)

// consoleWait is how long the socket of a console waits for its client.
const consoleWait = 30 * time.Second

// openConsole makes a unix socket for one connection of this user and joins it
// to the console. Raw bytes have no place in JSON-RPC.
func (srv *Server) openConsole(ctx context.Context, p api.ConsoleParams) (string, error) {
	if srv.options.RuntimeDir == "" {
		return "", problem.New(problem.Unsupported, "this server does not provide console sockets").WithHint("use nixvmd console")
	}
	// The console outlives the request: it ends with its client or the guest.
	console, err := srv.core.Console(context.WithoutCancel(ctx), p.Name)
	if err != nil {
		return "", err
	}
	l, err := listenConsole(srv.options.RuntimeDir)
	if err != nil {
		return "", fmt.Errorf("create the console socket: %w", cmp.Or(err, console.Close()))
	}
	srv.work.Go(func() { srv.serveConsole(l, console, p.Raw) })
	return l.Addr().String(), nil
}

// removeConsoles removes the sockets that a daemon which was killed left behind.
func removeConsoles(dir string) {
	if dir == "" {
		return
	}
	stale, _ := filepath.Glob(filepath.Join(dir, "console-*.sock")) // the pattern is well-formed
	for _, path := range stale {
		os.Remove(path)
	}
}

func listenConsole(dir string) (*net.UnixListener, error) {
	var random [4]byte
	_, _ = rand.Read(random[:]) // never fails
	path := filepath.Join(dir, "console-"+hex.EncodeToString(random[:])+".sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, cmp.Or(err, l.Close())
	}
	return l, nil
}

func (srv *Server) serveConsole(l *net.UnixListener, console io.ReadWriteCloser, raw bool) {
	defer console.Close()
	stopped := context.AfterFunc(srv.ctx, func() { l.Close() })
	_ = l.SetDeadline(time.Now().Add(consoleWait))
	conn, err := l.Accept()
	stopped()
	l.Close() // one connection; the path goes with the listener
	if err != nil {
		return
	}
	defer conn.Close()
	if err := checkPeer(conn); err != nil {
		srv.log.Warn("console refused", "error", err)
		return
	}
	done := make(chan struct{}, 2)
	pipe := func(to io.Writer, from io.Reader) {
		_, _ = io.Copy(to, from)
		done <- struct{}{}
	}
	var output io.Reader = console
	if !raw {
		output = termfilter.NewReader(console)
	}
	go pipe(conn, output)
	go pipe(console, conn)
	ended := 0
	select {
	case <-done:
		ended++
	case <-srv.ctx.Done():
	}
	conn.Close()
	console.Close()
	for ; ended < 2; ended++ {
		<-done
	}
}
