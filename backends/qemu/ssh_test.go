package qemu_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/nixvm/nixvm/backends"
)

// bannerLimit is what a server gets to say who it is. Without a limit the first
// attempt hangs for good: QEMU accepts for a guest that has no network yet.
const bannerLimit = 3 * time.Second

// retryPause spaces attempts to reach a guest's sshd that does not listen yet.
const retryPause = 100 * time.Millisecond

// guestSSH runs one command as admin, with sudo, over a new connection. Until
// ctx ends it tries again to connect: QEMU's forward accepts at once and
// hangs up while nobody listens in the guest.
func guestSSH(ctx context.Context, e backends.Endpoint, key ssh.Signer, command string) (string, error) {
	var client *ssh.Client
	for {
		var err error
		if client, err = dialGuest(ctx, e, key); err == nil {
			break
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("sshd at %s: %w (last: %w)", e.Address, ctx.Err(), err)
		case <-time.After(retryPause):
		}
	}
	defer client.Close()
	stop := context.AfterFunc(ctx, func() { client.Close() })
	defer stop()
	session, err := client.NewSession()
	if err != nil {
		return "", err
	}
	var stderr strings.Builder
	session.Stderr = &stderr
	out, err := session.Output(command)
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, stderr.String())
	}
	return string(out), nil
}

func dialGuest(ctx context.Context, e backends.Endpoint, key ssh.Signer) (*ssh.Client, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, e.Network, e.Address)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	greeted, err := awaitBanner(conn)
	if err != nil {
		conn.Close()
		return nil, err
	}
	c, channels, requests, err := ssh.NewClientConn(greeted, e.Address, &ssh.ClientConfig{
		User: "admin",
		Auth: []ssh.AuthMethod{ssh.PublicKeys(key)},
		// The tests are about the VM; the pinned key is sshconfig's affair.
		HostKeyCallback: ssh.InsecureIgnoreHostKey(),
	})
	if err != nil {
		conn.Close()
		return nil, err
	}
	return ssh.NewClient(c, channels, requests), nil
}

// bufferedConn gives back what awaitBanner has read.
type bufferedConn struct {
	net.Conn
	r *bufio.Reader
}

func (c bufferedConn) Read(p []byte) (int, error) { return c.r.Read(p) }

func awaitBanner(conn net.Conn) (net.Conn, error) {
	c := bufferedConn{conn, bufio.NewReader(conn)}
	if err := conn.SetReadDeadline(time.Now().Add(bannerLimit)); err != nil {
		return nil, err
	}
	if _, err := c.r.Peek(4); err != nil {
		return nil, err
	}
	return c, conn.SetReadDeadline(time.Time{})
}
