package libvirt

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/nixvm/nixvm/internal/problem"
)

// aliveInterval is how often a quiet connection is tried; one that does not
// answer within it is closed.
const aliveInterval = 15 * time.Second

// remote is another host, reached by ssh. One SSH connection carries all: that
// to libvirtd, consoles, and those to guests.
type remote struct {
	target target
	to     destination
	extra  sshSettings // what the URI says, which wins
	lock   turn        // held while a connection is made

	mu      sync.Mutex // guards the rest
	client  *ssh.Client
	tunnels map[string]*tunnel
	closed  bool
	group   sync.WaitGroup
}

func newRemote(t target) (*remote, error) {
	r := &remote{target: t, lock: newTurn(), tunnels: map[string]*tunnel{}}
	r.to = t.destination()
	if _, has := t.Host.User.Password(); has {
		return nil, problem.New(problem.ConfigInvalid, "the libvirt URI holds a password").WithHint("nixvm uses SSH keys: ssh-copy-id %s", r.to)
	}
	if strings.HasPrefix(r.to.host, "-") || strings.HasPrefix(r.to.user, "-") {
		return nil, problem.New(problem.ConfigInvalid, "%q is not a host", t.Host.Redacted()).WithHint("%s", uriHint)
	}
	if t.Session && t.Socket == "" {
		return nil, problem.New(problem.ConfigInvalid, "nixvm does not know where %s keeps the socket of a session", r.to.host).
			WithHint("use qemu+ssh://%s/system, or add ?socket=/run/user/UID/libvirt/libvirt-sock", t.Host.Host)
	}
	q := t.Host.Query()
	if q.Get("no_verify") != "" || q.Get("known_hosts_verify") != "" && q.Get("known_hosts_verify") != "normal" {
		return nil, problem.New(problem.ConfigInvalid, "the libvirt URI switches the check of the host's key off").
			WithHint("take no_verify and known_hosts_verify away; connect once by hand to have the key known: ssh %s true", r.to)
	}
	if f := q.Get("keyfile"); f != "" {
		r.extra.identities = []string{expandHome(f)}
	}
	if f := q.Get("known_hosts"); f != "" {
		r.extra.knownHosts = []string{expandHome(f)}
	}
	return r, nil
}

// dialLibvirt opens a stream to libvirtd's socket there.
func (r *remote) dialLibvirt(ctx context.Context) (net.Conn, error) {
	var last error
	for _, path := range r.target.sockets() {
		conn, err := r.dial(ctx, "unix", path)
		var rejected *ssh.OpenChannelError
		if err == nil || !errors.As(err, &rejected) {
			return conn, err
		}
		last = err
	}
	return nil, r.noSocket(last)
}

// dial opens a stream from the host to an address there. A connection that
// turns out to be broken is made anew once.
func (r *remote) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var last error
	for range 2 {
		client, err := r.connection(ctx)
		if err != nil {
			return nil, err
		}
		conn, err := client.DialContext(ctx, network, address)
		var rejected *ssh.OpenChannelError
		if err == nil || errors.As(err, &rejected) {
			return conn, err
		}
		client.Close() // it is broken, or does not answer
		r.forget(client)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		last = err
	}
	return nil, problem.New(problem.BackendUnreachable, "the SSH connection to %s broke: %w", r.to.host, last).Retry().WithHint("check with: ssh %s true", r.to)
}

// forget makes the next stream open a connection of its own.
func (r *remote) forget(client *ssh.Client) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.client == client {
		r.client = nil
	}
}

func (r *remote) noSocket(err error) error {
	var rejected *ssh.OpenChannelError
	p := problem.New(problem.BackendUnreachable, "libvirtd on %s does not answer: %w", r.to.host, err).Retry()
	if errors.As(err, &rejected) && rejected.Reason == ssh.Prohibited {
		return p.WithHint("sshd there must have AllowStreamLocalForwarding yes (or local)")
	}
	return p.WithHint("on %s: sudo systemctl enable --now libvirtd.socket; sudo usermod -aG libvirt \"$USER\"; check with: ssh %s virsh -c %s list", r.to.host, r.to, r.target.Remote)
}

// connection returns the SSH connection, a new one if there is none.
func (r *remote) connection(ctx context.Context) (*ssh.Client, error) {
	if err := r.lock.take(ctx); err != nil {
		return nil, err
	}
	defer r.lock.leave()
	r.mu.Lock()
	client, closed := r.client, r.closed
	r.mu.Unlock()
	if client != nil {
		return client, nil
	}
	if closed {
		return nil, errClosed
	}
	client, err := r.open(ctx, r.to, nil, 0)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		client.Close()
		return nil, errClosed
	}
	r.client = client
	ended := make(chan struct{})
	r.group.Go(func() {
		_ = client.Wait()
		close(ended)
		r.forget(client)
	})
	r.group.Go(func() { keepAlive(client, ended) })
	return client, nil
}

// keepAlive closes a connection whose other end has gone without a word, so that
// what waits for it learns of that.
func keepAlive(client *ssh.Client, ended <-chan struct{}) {
	tick := time.NewTicker(aliveInterval)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			return
		case <-tick.C:
		}
		timer := time.AfterFunc(aliveInterval, func() { client.Close() })
		_, _, err := client.SendRequest("keepalive@openssh.com", true, nil)
		timer.Stop()
		if err != nil {
			client.Close()
			return
		}
	}
}

// maxJumps ends a chain of ProxyJump that leads back to itself.
const maxJumps = 8

// open makes an SSH connection, through another one or directly.
func (r *remote) open(ctx context.Context, d destination, through *ssh.Client, depth int) (*ssh.Client, error) {
	closeJump := func() {
		if through != nil {
			through.Close()
		}
	}
	s, err := resolveSSH(ctx, d)
	if err != nil {
		closeJump()
		return nil, err
	}
	if d == r.to {
		s = s.with(r.extra)
	}
	if through == nil && len(s.jumps) > 0 {
		if through, err = r.jump(ctx, s.jumps, depth); err != nil {
			return nil, err
		}
	}
	var conn net.Conn
	if through != nil {
		conn, err = through.DialContext(ctx, "tcp", s.address)
	} else {
		conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", s.address)
	}
	if err != nil {
		closeJump()
		return nil, problem.New(problem.BackendUnreachable, "%s cannot be reached: %w", d.host, err).Retry().WithHint("check with: ssh %s true", d)
	}
	client, err := greet(ctx, conn, d, s)
	if err != nil {
		conn.Close()
		closeJump()
		return nil, err
	}
	if through != nil {
		r.group.Go(func() { _ = client.Wait(); through.Close() })
	}
	return client, nil
}

// jump connects to the last of the hosts, each through the one before it.
func (r *remote) jump(ctx context.Context, hosts []destination, depth int) (*ssh.Client, error) {
	if depth+len(hosts) > maxJumps {
		return nil, problem.New(problem.ConfigInvalid, "ProxyJump of %s leads over more than %d hosts", r.to.host, maxJumps).WithHint("ssh -G %s", r.to)
	}
	var client *ssh.Client
	for _, h := range hosts {
		next, err := r.open(ctx, h, client, depth+len(hosts))
		if err != nil {
			return nil, err
		}
		client = next
	}
	return client, nil
}

func (s sshSettings) with(extra sshSettings) sshSettings {
	if extra.identities != nil {
		s.identities, s.onlyThese = extra.identities, true
	}
	if extra.knownHosts != nil {
		s.knownHosts = extra.knownHosts
	}
	return s
}

// greet proves both ends to each other.
func greet(ctx context.Context, conn net.Conn, d destination, s sshSettings) (*ssh.Client, error) {
	hosts, err := readKnownHosts(s)
	if err != nil {
		return nil, err
	}
	keys := openKeyring(ctx, s)
	defer keys.close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	c, channels, requests, err := ssh.NewClientConn(conn, s.alias, &ssh.ClientConfig{
		User: s.user, Auth: []ssh.AuthMethod{ssh.PublicKeys(keys.signers...)},
		HostKeyCallback: hosts.verify(d), HostKeyAlgorithms: hosts.algorithms(s.alias),
	})
	var told *problem.Error
	switch {
	case ctx.Err() != nil:
		if err == nil {
			c.Close()
		}
		return nil, context.Cause(ctx)
	case err == nil:
		return ssh.NewClient(c, channels, requests), nil
	case errors.As(err, &told):
		return nil, told
	case strings.Contains(err.Error(), "unable to authenticate"): // x/crypto has no type for it
		return nil, keys.refused(d, s)
	}
	return nil, problem.New(problem.BackendUnreachable, "ssh to %s: %w", d.host, err).Retry().WithHint("check with: ssh %s true", d)
}

// close ends the connection and what it carries.
func (r *remote) close() {
	r.mu.Lock()
	r.closed = true
	client := r.client
	tunnels := r.tunnels
	r.tunnels = nil
	r.mu.Unlock()
	for _, t := range tunnels {
		t.close()
	}
	if client != nil {
		client.Close()
	}
	r.group.Wait()
}
