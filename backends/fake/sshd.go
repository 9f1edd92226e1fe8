package fake

import (
	"context"
	"errors"
	"net"

	"golang.org/x/crypto/ssh"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// Endpoint starts the guest's SSH server on first use.
func (b *Backend) Endpoint(_ context.Context, name string) (backends.Endpoint, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	g, err := b.load(name)
	if err != nil {
		return backends.Endpoint{}, err
	}
	if g == nil {
		return backends.Endpoint{}, problem.New(problem.VMNotFound, "no VM %s", name)
	}
	if g.Status.State != backends.Running || b.closed {
		return backends.Endpoint{}, problem.New(problem.VMNotRunning, "%s does not run", name)
	}
	if g.Status.Cut {
		return backends.Endpoint{}, problem.New(problem.VMNotReady, "%s has no network", name).Retry()
	}
	l := b.servers[name]
	if l == nil {
		if l, err = b.listen(name); err != nil {
			return backends.Endpoint{}, err
		}
		b.servers[name] = l
	}
	return backends.Endpoint{Network: "tcp", Address: l.Addr().String()}, nil
}

func (b *Backend) listen(name string) (net.Listener, error) {
	key, err := b.config.HostKey(name)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	config := &ssh.ServerConfig{PublicKeyCallback: func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) {
		return nil, errors.New("nobody is let in")
	}}
	config.AddHostKey(key)
	go serve(l, config)
	return l, nil
}

// serve answers until the listener is closed; a connection ends when its
// handshake does, because nobody is let in.
func serve(l net.Listener, config *ssh.ServerConfig) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			_, _, _, _ = ssh.NewServerConn(conn, config)
		}()
	}
}

// hangUp closes the guest's server; mu is held.
func (b *Backend) hangUp(name string) {
	if l := b.servers[name]; l != nil {
		_ = l.Close()
		delete(b.servers, name)
	}
}
