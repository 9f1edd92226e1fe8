package libvirt

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/nixvm/nixvm/internal/problem"
)

// sshHost is an SSH server in this process, which forwards to sockets and ports.
type sshHost struct {
	address string
	hostKey ssh.Signer
	keyFile string      // a private key that it accepts
	refuse  atomic.Bool // forwards, as sshd does by its configuration

	mu    sync.Mutex
	conns []net.Conn
}

func startSSHHost(t *testing.T) *sshHost {
	t.Helper()
	if _, err := exec.LookPath("ssh"); err != nil {
		t.Fatalf("this test needs ssh\n  sudo apt-get install openssh-client")
	}
	h := &sshHost{keyFile: filepath.Join(t.TempDir(), "id")}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(h.keyFile, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	if h.hostKey, err = ssh.NewSignerFromKey(private); err != nil {
		t.Fatal(err)
	}
	config := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if !bytes.Equal(key.Marshal(), h.hostKey.PublicKey().Marshal()) {
			return nil, errors.New("another key")
		}
		return &ssh.Permissions{}, nil
	}}
	config.AddHostKey(h.hostKey)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.address = l.Addr().String()
	var group sync.WaitGroup
	t.Cleanup(func() { l.Close(); h.cut(); group.Wait() })
	group.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			h.mu.Lock()
			h.conns = append(h.conns, conn)
			h.mu.Unlock()
			group.Go(func() { h.serve(conn, config) })
		}
	})
	return h
}

// cut ends all connections.
func (h *sshHost) cut() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.conns {
		c.Close()
	}
	h.conns = nil
}

func (h *sshHost) serve(conn net.Conn, config *ssh.ServerConfig) {
	defer conn.Close()
	_, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	var group sync.WaitGroup
	defer group.Wait()
	group.Go(func() { ssh.DiscardRequests(requests) })
	for c := range channels {
		group.Go(func() { h.open(c) })
	}
}

// open connects a channel with what it names (OpenSSH's PROTOCOL, 2.4; RFC 4254, 7.2).
func (h *sshHost) open(c ssh.NewChannel) {
	var socket struct {
		Path     string
		Reserved string
		Unused   uint32
	}
	if h.refuse.Load() || c.ChannelType() != "direct-streamlocal@openssh.com" || ssh.Unmarshal(c.ExtraData(), &socket) != nil {
		_ = c.Reject(ssh.Prohibited, "open failed")
		return
	}
	to, err := net.Dial("unix", socket.Path)
	if err != nil {
		_ = c.Reject(ssh.ConnectionFailed, "open failed")
		return
	}
	defer to.Close()
	channel, requests, err := c.Accept()
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	go func() { _, _ = io.Copy(to, channel); to.Close() }()
	_, _ = io.Copy(channel, to)
	channel.Close()
}

// remote connects to the host, with a socket of libvirtd at a path there, and
// lines of ssh_config.
func (h *sshHost) remote(t *testing.T, socket string, lines ...string) *remote {
	t.Helper()
	dir := shortDir(t)
	known := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(known, []byte(knownhosts.Line([]string{h.address}, h.hostKey.PublicKey())+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(h.address)
	config := filepath.Join(t.TempDir(), "config")
	text := fmt.Sprintf("Host lab\n  %s\n  HostName %s\n  Port %s\n  IdentityFile %s\n  UserKnownHostsFile %s\n", strings.Join(lines, "\n  "), host, port, h.keyFile, known)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("NIXVM_SSH_CONFIG", config)
	t.Setenv("SSH_AUTH_SOCK", "")
	target, err := parseURI("qemu+ssh://lab/system?socket=" + socket)
	if err != nil {
		t.Fatal(err)
	}
	r, err := newRemote(target, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.close)
	return r
}

// serveLibvirtd answers as libvirtd does to the first call, and echoes the rest.
func serveLibvirtd(t *testing.T) (socket string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "nv:s %") // what forwards and configurations write in their own way
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "libvirt-sock"))
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	t.Cleanup(func() { l.Close(); group.Wait() })
	group.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			group.Go(func() {
				defer conn.Close()
				defer context.AfterFunc(t.Context(), func() { conn.Close() })()
				call := make([]byte, headerSize)
				if _, err := io.ReadFull(conn, call); err != nil {
					return
				}
				answer := append([]byte{0, 0, 0, headerSize + 4}, call[4:]...)
				_, _ = conn.Write(append(answer, 0, 0, 0, 0))
				_, _ = io.Copy(conn, conn)
			})
		}
	})
	return l.Addr().String()
}

func TestAStreamOverTheUsersSSHCarriesBytesAndSurvivesABreak(t *testing.T) {
	h := startSSHHost(t)
	// Settings of the user that must not take part, or must not stop anything.
	r := h.remote(t, strings.ReplaceAll(serveLibvirtd(t), "%", "%25"), "RequestTTY force", "ControlPath /nonexistent/x", "ControlMaster auto", "ControlPersist yes",
		"LocalForward "+h.address+" 127.0.0.1:9", "ExitOnForwardFailure yes", "LogLevel QUIET", "RemoteCommand true", "PermitLocalCommand yes", "LocalCommand exit 1",
		"IgnoreUnknown ForkAfterAuthentication", "ForkAfterAuthentication yes")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var first *master
	for i := range 3 {
		conn, err := r.dialLibvirt(ctx)
		if err != nil {
			t.Fatalf("%v\n%s", err, problem.From(err).Hint)
		}
		text := []byte("hello")
		if _, err := conn.Write(text); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(text))
		if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, text) {
			t.Errorf("%q comes back as %q, %v", text, got, err)
		}
		conn.Close()
		switch i {
		case 0:
			first = r.master
		case 1:
			if r.master != first {
				t.Error("a second stream has an SSH connection of its own")
			}
			h.cut()
			<-first.ended
		}
	}
}

// silentAgent is an SSH agent that does not answer, as one that waits for a person.
func silentAgent(t *testing.T) net.Listener {
	t.Helper()
	dir := shortDir(t)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	silent, err := net.Listen("unix", filepath.Join(dir, "agent"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	return silent
}

// The clients of a tunnel have no limit, and nothing else gets through meanwhile.
func TestALoginThatHangsIsGivenUp(t *testing.T) {
	r := startSSHHost(t).remote(t, "/nonexistent", "IdentityAgent "+silentAgent(t).Addr().String())
	r.login = time.Second
	done := make(chan error, 1)
	go func() { _, err := r.dialGuest(t.Context(), "127.0.0.1:22"); done <- err }()
	select {
	case err := <-done:
		if !problem.HasCode(err, problem.BackendUnreachable) || !strings.Contains(err.Error(), "no connection in time") {
			t.Errorf("%v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("the connection waits for the agent")
	}
}

func TestAnSSHAgentThatDoesNotAnswerIsGivenUp(t *testing.T) {
	h := startSSHHost(t)
	silent := silentAgent(t)
	r := h.remote(t, "/nonexistent", "IdentityAgent "+silent.Addr().String())
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error, 1)
	go func() { _, err := r.dialLibvirt(ctx); done <- err }()
	conn, err := silent.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	given := errors.New("given up")
	cancel(given)
	select {
	case err := <-done:
		if !errors.Is(err, given) {
			t.Errorf("%v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("the connection waits for the agent")
	}
}

func TestAHostWithoutLibvirtdAndOneThatRefusesForwardsAreToldApart(t *testing.T) {
	for refuse, hint := range map[bool]string{false: "libvirtd.socket", true: "AllowStreamLocalForwarding"} {
		h := startSSHHost(t)
		h.refuse.Store(refuse)
		_, err := h.remote(t, "/nonexistent/libvirt-sock").dialLibvirt(t.Context())
		if p := problem.From(err); !problem.HasCode(err, problem.BackendUnreachable) || !p.Retryable || !strings.Contains(p.Hint, hint) {
			t.Errorf("refuse %v: %v; hint %s", refuse, err, p.Hint)
		}
	}
}

func TestWhatSSHSaysLastIsTheReason(t *testing.T) {
	lab := destination{user: "ann", host: "lab", port: "2222"}
	for said, want := range map[string]struct {
		code  problem.Code
		words string
	}{
		"ssh: Could not resolve hostname lab: Name or service not known":                                                        {problem.BackendUnreachable, "Could not resolve hostname"},
		"welcome\nann@lab: Permission denied (publickey).":                                                                      {problem.BackendUnreachable, "ssh-copy-id -p 2222 ann@lab"},
		"No ED25519 host key is known for lab and you have requested strict checking.\nHost key verification failed.":           {problem.SSHHostKey, "is not known"},
		"@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\nOffending RSA key in /k:7\nHost key verification failed.": {problem.SSHHostKey, "in /k:7"},
		"/c: line 2: Bad configuration option: x\n/c: terminating, 1 bad configuration options":                                 {problem.SSHConfigMalformed, "line 2"},
	} {
		err := explainSSH(lab, strings.Split(said, "\n"), nil)
		if err.Code != want.code || !strings.Contains(err.Message+"\n"+err.Hint, want.words) {
			t.Errorf("%q: %s %s\n%s", said, err.Code, err.Message, err.Hint)
		}
	}
	if err := explainSSH(lab, nil, exec.ErrNotFound); err.Code != problem.BackendMissing {
		t.Error(err)
	}
}
