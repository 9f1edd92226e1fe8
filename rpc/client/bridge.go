package client

import (
	"context"
	"errors"
	"io"
	"net"

	"github.com/nixvm/nixvm/internal/paths"
)

// Bridge joins stdin and stdout to the daemon, starting one when none runs: the
// way for clients that speak to a child process instead of a socket. It returns
// when the daemon closes the connection, or when stdin has ended and the last
// answers are through.
func Bridge(ctx context.Context, layout paths.Layout, p Program, stdin io.Reader, stdout io.Writer) error {
	conn, err := dialOrStart(ctx, layout, p)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	go func() {
		// Ends with the program: a read from a terminal cannot be interrupted.
		_, _ = io.Copy(conn, stdin)
		if u, ok := conn.(*net.UnixConn); ok {
			_ = u.CloseWrite()
		}
	}()
	_, err = io.Copy(stdout, conn)
	if errors.Is(err, net.ErrClosed) && ctx.Err() != nil {
		return nil
	}
	return err
}
