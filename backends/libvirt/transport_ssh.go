package libvirt

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/nixvm/nixvm/backends/internal/ctxlock"
	"github.com/nixvm/nixvm/internal/problem"
)

// remote is another host, reached through one process of the user's own ssh.
// That connection carries all streams: to libvirtd, to consoles, and to guests.
type remote struct {
	target target
	to     destination
	dir    string        // for the sockets of the ssh process; only this user can enter it
	login  time.Duration // limit of a connection being made
	lock   ctxlock.Mutex // held while a connection is made or a forward is added

	mu      sync.Mutex // guards the rest
	master  *master    // nil: not connected
	tunnels map[string]*tunnel
	closed  bool
	group   sync.WaitGroup
}

// destination is the host of a URI, as ssh takes it.
type destination struct{ user, host, port string }

// destination is the other host of a target, as its URI names it.
func (t target) destination() destination {
	return destination{user: t.Host.User.Username(), host: t.Host.Hostname(), port: t.Host.Port()}
}

// String is the destination as a person types it after "ssh".
func (d destination) String() string {
	s := d.host
	if d.user != "" {
		s = d.user + "@" + s
	}
	if d.port != "" && d.port != "22" {
		s = "-p " + d.port + " " + s
	}
	return s
}

// checkSSH refuses URIs of the ssh transport that cannot work, or that weaken
// what ssh checks. The problem is config.invalid.
func (t target) checkSSH() error {
	to := t.destination()
	if _, has := t.Host.User.Password(); has {
		return problem.New(problem.ConfigInvalid, "the libvirt URI holds a password").WithHint("nixvm uses SSH keys: ssh-copy-id %s", to)
	}
	if strings.HasPrefix(to.host, "-") || strings.HasPrefix(to.user, "-") {
		return problem.New(problem.ConfigInvalid, "%q is not a host", t.Host.Redacted()).WithHint("%s", uriHint)
	}
	if t.Session && t.Socket == "" {
		return problem.New(problem.ConfigInvalid, "nixvm does not know the path of the session socket on %s", to.host).
			WithHint("use qemu+ssh://%s/system, or add ?socket=/run/user/UID/libvirt/libvirt-sock", t.Host.Host)
	}
	q := t.Host.Query()
	if q.Get("no_verify") != "" || q.Get("known_hosts_verify") != "" && q.Get("known_hosts_verify") != "normal" {
		return problem.New(problem.ConfigInvalid, "the libvirt URI disables the host key check").
			WithHint("remove no_verify and known_hosts_verify; connect once by hand to add the host key to known_hosts: ssh %s true", to)
	}
	return nil
}

func newRemote(t target, dir string) (*remote, error) {
	if err := t.checkSSH(); err != nil {
		return nil, err
	}
	return &remote{target: t, to: t.destination(), dir: dir, login: loginLimit, tunnels: map[string]*tunnel{}}, nil
}

// dialLibvirt opens a stream to libvirtd's socket there.
func (r *remote) dialLibvirt(ctx context.Context) (net.Conn, error) {
	var last error
	for _, path := range r.target.sockets() {
		conn, m, err := r.dial(ctx, path)
		if err != nil {
			return nil, err
		}
		if err = greetLibvirt(ctx, conn); err == nil {
			return conn, nil
		}
		conn.Close()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if m.errors.await(ctx, prohibited) {
			return nil, problem.New(problem.BackendUnreachable, "sshd on %s does not allow connections to unix sockets", r.to.host).Retry().
				WithHint("set AllowStreamLocalForwarding to yes (or local) in sshd_config there")
		}
		last = fmt.Errorf("%s: %w", path, err)
	}
	return nil, problem.New(problem.BackendUnreachable, "libvirtd on %s does not answer: %w", r.to.host, last).Retry().
		WithHint("on %s: sudo systemctl enable --now libvirtd.socket; sudo usermod -aG libvirt \"$USER\"; check with: ssh %s virsh -c %s list", r.to.host, r.to, r.target.Remote)
}

// prohibited is what ssh says when sshd refuses a forward by its configuration
// (SSH_OPEN_ADMINISTRATIVELY_PROHIBITED in RFC 4254, 5.1).
const prohibited = "administratively prohibited"

// dialGuest opens a stream from the host to the address of a guest.
func (r *remote) dialGuest(ctx context.Context, address string) (net.Conn, error) {
	conn, _, err := r.dial(ctx, address)
	return conn, err
}

// dial opens a stream from the host to an address there: host:port, or the path
// of a socket. That it returns says nothing about the address: if nothing answers
// there, the stream ends. A connection that turns out to be broken is made again
// once.
func (r *remote) dial(ctx context.Context, address string) (net.Conn, *master, error) {
	var last error
	for range 2 {
		m, socket, err := r.forward(ctx, address)
		if err == nil {
			var conn net.Conn
			if conn, err = (&net.Dialer{}).DialContext(ctx, "unix", socket); err == nil {
				return conn, m, nil
			}
		}
		if ctx.Err() != nil {
			return nil, nil, context.Cause(ctx)
		}
		if m == nil {
			return nil, nil, err
		}
		m.stop() // it has ended, or does not answer
		last = err
	}
	return nil, nil, problem.New(problem.BackendUnreachable, "the SSH connection to %s was lost: %w", r.to.host, last).Retry().WithHint("check with: ssh %s true", r.to)
}

// forward returns the socket that leads to an address there. On an error, m is
// the connection that failed; nil if there is none.
func (r *remote) forward(ctx context.Context, address string) (m *master, socket string, err error) {
	if err := r.lock.Lock(ctx); err != nil {
		return nil, "", err
	}
	defer r.lock.Unlock()
	if m, err = r.connection(ctx); err != nil {
		return nil, "", err
	}
	socket, err = m.forward(ctx, address)
	return m, socket, err
}

// connection returns the SSH connection, a new one if there is none. The caller
// holds the lock.
func (r *remote) connection(ctx context.Context) (*master, error) {
	r.mu.Lock()
	m, closed := r.master, r.closed
	r.mu.Unlock()
	if closed {
		return nil, errClosed
	}
	if m != nil {
		if m.alive() {
			return m, nil
		}
		<-m.ended
	}
	// What a process that was killed has left behind.
	if err := errors.Join(os.RemoveAll(r.dir), os.MkdirAll(r.dir, 0o700)); err != nil {
		return nil, fmt.Errorf("the directory for ssh's sockets: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, r.login)
	defer cancel()
	m, err := startMaster(ctx, r.target, r.dir)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		m.stop()
		<-m.ended
		return nil, errClosed
	}
	r.master = m
	return m, nil
}

// close ends the connection and all that it carries.
func (r *remote) close() {
	r.mu.Lock()
	r.closed = true
	m := r.master
	tunnels := r.tunnels
	r.tunnels = nil
	r.mu.Unlock()
	for _, t := range tunnels {
		t.close()
	}
	if m != nil {
		m.stop()
		<-m.ended
	}
	r.group.Wait()
	_ = os.RemoveAll(r.dir) // empty but for sockets
}
