package libvirttest

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
)

// SSH is a real sshd on a host.
type SSH struct {
	Address string // on this machine's loopback; what arrives there goes to sshd
	HostKey ssh.PublicKey
	// KeyFile is a private key that lets root in.
	KeyFile string

	mu    sync.Mutex
	conns map[net.Conn]bool
}

// StartSSH starts sshd on the host, with extra lines of sshd_config.
func (h *Host) StartSSH(t testing.TB, extra ...string) *SSH {
	t.Helper()
	sshd := "/usr/sbin/sshd"
	if _, err := os.Stat(sshd); err != nil {
		t.Fatalf("this test needs sshd\n  sudo apt-get install openssh-server")
	}
	host, hostPEM := newKey(t)
	client, clientPEM := newKey(t)
	s := &SSH{HostKey: host, KeyFile: filepath.Join(t.TempDir(), "id"), conns: map[net.Conn]bool{}}
	if err := os.WriteFile(s.KeyFile, clientPEM, 0o600); err != nil {
		t.Fatal(err)
	}
	dir := h.path("ssh")
	for name, content := range map[string]string{
		"host_key": string(hostPEM), "authorized_keys": string(ssh.MarshalAuthorizedKey(client)),
		"sshd_config": strings.Join(append([]string{
			"ListenAddress 127.0.0.1", "Port 22", "HostKey " + dir + "/host_key", "PidFile none", "UsePAM no", "StrictModes no",
			"AuthorizedKeysFile " + dir + "/authorized_keys", "PasswordAuthentication no", "PermitRootLogin prohibit-password",
		}, extra...), "\n") + "\n",
	} {
		h.write(t, filepath.Join(dir, name), content)
	}
	h.inside.run(t, "chmod 600 "+quote(dir+"/host_key"))
	h.daemon(t, sshd, "-D", "-e", "-f", dir+"/sshd_config")
	h.awaitSSH(t)
	s.relay(t, h)
	return s
}

func (h *Host) awaitSSH(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
	defer cancel()
	for {
		conn, err := h.Dial(ctx, "tcp", "127.0.0.1:22")
		if err == nil {
			conn.Close()
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("sshd does not answer: %v", err)
		}
		h.inside.run(t, "kill -0 $sshd || { echo sshd ended:; cat "+quote(h.path("log/sshd.log"))+"; false; }")
	}
}

// relay carries connections from this machine's loopback to that of the host.
func (s *SSH) relay(t testing.TB, h *Host) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Address = l.Addr().String()
	var group sync.WaitGroup
	t.Cleanup(func() { l.Close(); s.Cut(); group.Wait() })
	group.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := h.Dial(t.Context(), "tcp", "127.0.0.1:22")
			if err != nil { // as if nothing listened
				near.Close()
				continue
			}
			s.mu.Lock()
			s.conns[near], s.conns[far] = true, true
			s.mu.Unlock()
			group.Go(func() { _, _ = io.Copy(near, far); near.Close() })
			group.Go(func() { _, _ = io.Copy(far, near); far.Close() })
		}
	})
}

// Cut ends all connections, as a network does that goes away.
func (s *SSH) Cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.Close()
	}
	s.conns = map[net.Conn]bool{}
}

func newKey(t testing.TB) (ssh.PublicKey, []byte) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	return signer.PublicKey(), pem.EncodeToMemory(block)
}
