package sshconfig

import (
	"context"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/nixvm/nixvm/internal/problem"
)

// hold is a Holder's work on one connection.
type hold struct {
	*Holder
	client    *ssh.Client
	listeners map[Forward]net.Listener
}

// serve holds the wanted forwards on client until it breaks, the context ends,
// or nothing is wanted any more. It owns the client.
func (h *Holder) serve(ctx context.Context, client *ssh.Client) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	// Closing the client is what unblocks every request and copy on it.
	stop := context.AfterFunc(ctx, func() { _ = client.Close() })
	defer func() {
		cancel()
		stop()
		_ = client.Close()
		wg.Wait()
	}()
	lost := make(chan struct{})
	wg.Go(func() {
		_ = client.Wait()
		close(lost)
	})
	wg.Go(func() { keepAlive(ctx, client) })

	hl := &hold{Holder: h, client: client, listeners: map[Forward]net.Listener{}}
	retry := time.NewTicker(maxBackoff)
	defer retry.Stop()
	for {
		hl.reconcile(ctx, &wg)
		if len(hl.forwards()) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-lost:
			return errConnectionLost
		case <-h.wake:
		case <-retry.C:
		}
	}
}

// reconcile makes the guest listen for exactly the wanted forwards. Those in
// conflict are tried again each time.
func (hl *hold) reconcile(ctx context.Context, wg *sync.WaitGroup) {
	wanted := hl.forwards()
	for f, l := range hl.listeners {
		if !slices.Contains(wanted, f) {
			_ = l.Close()
			delete(hl.listeners, f)
		}
	}
	for _, f := range wanted {
		if hl.listeners[f] != nil || ctx.Err() != nil {
			continue
		}
		l, err := listen(hl.client, f)
		if err != nil {
			hl.note(ForwardState{f, Conflict, problem.New(problem.ForwardConflict, "the guest refuses to listen on %s: %w", f.Listen, err).
				WithHint("the port or socket is in use in the VM, or its directory does not exist").Retry()})
			continue
		}
		hl.listeners[f] = l
		wg.Go(func() { accept(ctx, l, f, wg) })
		hl.note(ForwardState{f, Active, nil})
	}
}

func isSocket(s string) bool { return strings.HasPrefix(s, "/") }

func listen(client *ssh.Client, f Forward) (net.Listener, error) {
	at, _ := f.Args()
	if isSocket(at) {
		return client.ListenUnix(at)
	}
	host, port, err := net.SplitHostPort(at)
	if err != nil {
		return nil, err
	}
	if host == "*" {
		host = "" // all interfaces (RFC 4254, 7.1)
	}
	return client.Listen("tcp", net.JoinHostPort(host, port))
}

// accept serves one forward until its listener closes.
func accept(ctx context.Context, l net.Listener, f Forward, wg *sync.WaitGroup) {
	slots := make(chan struct{}, maxConnections)
	for {
		guest, err := l.Accept()
		if err != nil {
			return
		}
		select {
		case slots <- struct{}{}:
		default:
			_ = guest.Close()
			continue
		}
		wg.Go(func() {
			defer func() { <-slots }()
			relay(ctx, guest, f.Target)
		})
	}
}

// relay connects to the target on the host and copies both ways until both
// directions have ended or the context has.
func relay(ctx context.Context, guest net.Conn, target string) {
	defer guest.Close()
	network := "tcp"
	if isSocket(target) {
		network = "unix"
	}
	host, err := (&net.Dialer{Timeout: targetTimeout}).DialContext(ctx, network, target)
	if err != nil {
		return // the guest sees the connection close, as with ssh
	}
	defer host.Close()
	stop := context.AfterFunc(ctx, func() { _ = host.Close() })
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() { copyHalf(host, guest) })
	copyHalf(guest, host)
	wg.Wait()
}

// copyHalf copies one direction and passes the end of it on.
func copyHalf(dst, src net.Conn) {
	_, err := io.Copy(dst, src)
	if half, ok := dst.(interface{ CloseWrite() error }); ok && err == nil {
		_ = half.CloseWrite()
		return
	}
	_ = dst.Close()
	_ = src.Close()
}

// keepAlive closes the client when the guest stops answering: a black hole has
// no other sign.
func keepAlive(ctx context.Context, client *ssh.Client) {
	tick := time.NewTicker(keepaliveEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		deadline := time.AfterFunc(keepaliveWithin, func() { _ = client.Close() })
		_, _, err := client.SendRequest("keepalive@openssh.com", true, nil)
		deadline.Stop()
		if err != nil {
			_ = client.Close()
			return
		}
	}
}
