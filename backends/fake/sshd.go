package fake

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// Endpoint starts the guest's SSH server on first use.
func (b *Backend) Endpoint(ctx context.Context, ref backends.Ref) (backends.Endpoint, error) {
	g, err := b.read(ctx, ref)
	if err != nil {
		return backends.Endpoint{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if g.Status.State != backends.Running && g.Status.State != backends.Unknown || b.closed {
		return backends.Endpoint{}, problem.New(problem.VMNotRunning, "%s does not run", ref.Name)
	}
	if g.Status.Cut {
		return backends.Endpoint{}, problem.New(problem.VMNotReady, "%s has no network", ref.Name).Retry()
	}
	if b.config.Shell != nil {
		if _, ok := b.config.Shell(ref.Name, g.Kept.ImageID, ""); !ok {
			return backends.Endpoint{}, problem.New(problem.VMNotReady, "%s does not boot to its SSH server", ref.Name).Retry()
		}
	}
	l := b.servers[ref.Name]
	if l == nil {
		if l, err = b.listen(ref.Name); err != nil {
			return backends.Endpoint{}, err
		}
		b.servers[ref.Name] = l
	}
	return backends.Endpoint{Network: "tcp", Address: l.Addr().String()}, nil
}

// HostKeys is Config.HostKey for machine directories below dir, as nixvm makes them.
func HostKeys(dir string) func(machine string) (ssh.Signer, error) {
	return func(machine string) (ssh.Signer, error) {
		pem, err := os.ReadFile(filepath.Join(dir, machine, "ssh_host_ed25519_key"))
		if err != nil {
			return nil, err
		}
		return ssh.ParsePrivateKey(pem)
	}
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
	config := &ssh.ServerConfig{PublicKeyCallback: func(c ssh.ConnMetadata, _ ssh.PublicKey) (*ssh.Permissions, error) {
		st, err := b.Status(context.Background(), backends.Named(name))
		if c.User() == "admin" && (b.config.Shell != nil || err == nil && st.State == backends.Unknown) {
			return &ssh.Permissions{}, nil
		}
		if c.User() == "user" && b.config.Exec != nil {
			return &ssh.Permissions{Extensions: map[string]string{"exec": ""}}, nil
		}
		return nil, errors.New("this server accepts no login")
	}}
	config.AddHostKey(key)
	go serve(l, config, b.config.Exec, func(command string) string {
		if strings.Contains(command, "poweroff") {
			_ = b.behind(request{Method: "poweroff", Name: name})
			return ""
		}
		g, err := b.look(name)
		if b.config.Shell == nil || err != nil || g == nil {
			return ""
		}
		output, _ := b.config.Shell(name, g.Kept.ImageID, command)
		return output
	})
	return l, nil
}

// execFunc is Config.Exec.
type execFunc = func(ctx context.Context, command string, in io.Reader, out, errs io.Writer) int

// serve answers until the listener is closed; a connection ends when its
// handshake does, where no login is accepted, or when it has run a command.
func serve(l net.Listener, config *ssh.ServerConfig, exec execFunc, run func(command string) string) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			server, channels, requests, err := ssh.NewServerConn(conn, config)
			if err != nil {
				return
			}
			go ssh.DiscardRequests(requests)
			if _, ok := server.Permissions.Extensions["exec"]; ok {
				ctx, cancel := context.WithCancel(context.Background())
				go func() { _ = server.Wait(); cancel() }()
				run := func(command string, c ssh.Channel) uint32 { return uint32(exec(ctx, command, c, c, c.Stderr())) } //nolint:gosec // an exit code
				for c := range channels {
					session(c, run)
				}
				return
			}
			run := func(command string, c ssh.Channel) uint32 {
				_, _ = io.WriteString(c, run(command))
				return 0
			}
			for c := range channels {
				session(c, run)
			}
		}()
	}
}

// session runs the first command of a session.
func session(c ssh.NewChannel, run func(command string, c ssh.Channel) uint32) {
	channel, requests, err := c.Accept()
	if err != nil {
		return
	}
	defer channel.Close()
	for r := range requests {
		var command struct{ Text string }
		if r.Type != "exec" || ssh.Unmarshal(r.Payload, &command) != nil {
			_ = r.Reply(false, nil)
			continue
		}
		_ = r.Reply(true, nil)
		_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{run(command.Text, channel)}))
		return
	}
}

// hangUp closes the guest's server; mu is held.
func (b *Backend) hangUp(name string) {
	if l := b.servers[name]; l != nil {
		_ = l.Close()
		delete(b.servers, name)
	}
}
