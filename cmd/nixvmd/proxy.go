package main

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/sshconfig"
)

// patience is how long a connection may take before its user is told why.
const patience = 3 * time.Second

func newProxy(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "proxy HOST", Short: "Connect standard input and output to a VM's SSH server (for ProxyCommand)",
		Long: `Connect standard input and output to the SSH server of the VM with the SSH name
HOST, and start the VM if it is stopped. ssh runs this as ProxyCommand, so that the
SSH configuration does not depend on the VM's address.`,
		Args: takes("HOST"),
		RunE: func(cmd *cobra.Command, args []string) error {
			// The ssh master that outlives its terminal needs its proxy to
			// outlive it too: without this every connection over it is cut.
			signal.Ignore(syscall.SIGHUP)
			conn, err := a.dialHost(cmd.Context(), args[0])
			if err != nil {
				return errors.Join(err, a.tellSSH(err))
			}
			defer conn.Close()
			return splice(conn, a.in, a.out.Writer)
		},
	}
}

// tellSSH makes ssh say why there is no connection. What a ProxyCommand writes to
// its standard error, ssh with ControlPersist throws away.
func (a *app) tellSSH(err error) error {
	out, ok := a.out.file()
	if !ok || isTerminal(out) {
		return nil // run by hand: the error is printed
	}
	p := problem.From(err)
	reason := p.Message
	if p.Hint != "" {
		reason += " (" + p.Hint + ")"
	}
	return sshconfig.Refuse(a.in, out, clean(reason))
}

// dialHost connects with the sshd behind an SSH name. While that takes long, and
// only on a terminal, it says what it waits for: TRAMP and scripts read what ssh
// prints, and must not find anything there that is no error.
func (a *app) dialHost(ctx context.Context, host string) (net.Conn, error) {
	if a.errTTY && !a.quiet {
		slow := time.AfterFunc(patience, func() { a.note("nixvmd: waiting for %s to answer ...", clean(host)) })
		defer slow.Stop()
	}
	var endpoint api.Endpoint
	// An editor that opens a file on its own account must not boot a VM.
	start := os.Getenv("NIXVM_PROXY_START") != "no"
	params := api.EndpointParams{Host: host, Start: start, Wait: true}
	if err := a.ask(ctx, "proxy", api.MethodSSHEndpoint, params, &endpoint); err != nil {
		return nil, err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, endpoint.Network, endpoint.Address)
	if err != nil {
		return nil, problem.New(problem.SSHUnreachable, "connect to %s: %w", endpoint.Machine, err).
			WithHint("nixvmd status %s", endpoint.Machine).Retry()
	}
	return conn, nil
}

// splice copies both ways until both ends are done. The end of one direction is
// passed on, so that `ssh host cat <file` does not lose its last bytes.
func splice(conn net.Conn, in *os.File, out io.Writer) error {
	go func() {
		// On any error of this direction, the other one ends with it.
		_, _ = io.Copy(conn, in)
		if half, ok := conn.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
		// A guest that hangs never closes its side: once no process reads what it
		// might say, there is nothing left to wait for.
		if f, ok := out.(*os.File); ok && readerGone(f) {
			conn.Close()
		}
	}()
	_, err := io.Copy(out, conn)
	for _, end := range []error{syscall.EPIPE, syscall.ECONNRESET, net.ErrClosed} {
		if errors.Is(err, end) {
			return nil
		}
	}
	if err != nil {
		return problem.New(problem.SSHUnreachable, "the connection broke: %w", err)
	}
	return nil
}

// readerGone waits until the other end of a pipe or socket is closed.
func readerGone(f *os.File) (gone bool) {
	raw, err := f.SyscallConn()
	if err != nil {
		return false
	}
	err = raw.Control(func(fd uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd)}} // no events: errors and hang-ups are always told
		for {
			_, err := unix.Poll(fds, -1)
			if !errors.Is(err, unix.EINTR) {
				gone = err == nil
				return
			}
		}
	})
	return gone && err == nil
}
