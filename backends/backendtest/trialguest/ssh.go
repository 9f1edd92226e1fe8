package trialguest

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

// attemptLimit ends one attempt: a packet that was lost while the guest had no
// network yet is sent again after a minute.
const attemptLimit = 60 * time.Second

// retryPause spaces attempts to reach a guest's sshd that does not listen yet.
const retryPause = 100 * time.Millisecond

// Dial connects to an address in the network of the guest.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Exec runs a shell command as root, over a new connection. Until ctx ends it
// tries again to connect: QEMU's forward accepts at once and hangs up while
// no server listens in the guest. dial may be nil: the test's own network.
func (g *Guest) Exec(ctx context.Context, dial Dial, e backends.Endpoint, command string) (string, error) {
	client, err := g.Connect(ctx, dial, e)
	if err != nil {
		return "", err
	}
	defer client.Close()
	return Run(ctx, client, command)
}

// Connect returns a connection of the account admin.
func (g *Guest) Connect(ctx context.Context, dial Dial, e backends.Endpoint) (*ssh.Client, error) {
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	for {
		client, err := g.attempt(ctx, dial, e)
		if err == nil {
			return client, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("sshd at %s: %w (last: %w)", e.Address, ctx.Err(), err)
		case <-time.After(retryPause):
		}
	}
}

// Run runs a shell command as root. Single quotes in it are the caller's affair.
func Run(ctx context.Context, client *ssh.Client, command string) (string, error) {
	stop := context.AfterFunc(ctx, func() { client.Close() })
	defer stop()
	session, err := client.NewSession()
	if err != nil {
		return "", err
	}
	var stderr strings.Builder
	session.Stderr = &stderr
	out, err := session.Output("sudo -n sh -c '" + command + "'")
	if err != nil {
		return string(out), fmt.Errorf("%w: %s", err, stderr.String())
	}
	return string(out), nil
}

func (g *Guest) attempt(ctx context.Context, dial Dial, e backends.Endpoint) (*ssh.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptLimit)
	defer cancel()
	conn, err := dial(ctx, e.Network, e.Address)
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
		Auth: []ssh.AuthMethod{ssh.PublicKeys(g.Key)},
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
