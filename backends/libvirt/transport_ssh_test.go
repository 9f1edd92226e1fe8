package libvirt

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/nixvm/nixvm/backends/libvirt/libvirttest"
	"github.com/nixvm/nixvm/internal/problem"
)

// lab is a host with libvirtd and sshd, and a user's SSH configuration for it.
type lab struct {
	*libvirttest.Host
	ssh   *libvirttest.SSH
	known string // known_hosts
}

func newLab(t *testing.T) *lab {
	t.Helper()
	h := libvirttest.Start(t)
	l := &lab{Host: h, ssh: h.StartSSH(t), known: filepath.Join(t.TempDir(), "known_hosts")}
	t.Setenv("SSH_AUTH_SOCK", "")
	l.know(t, l.ssh.HostKey)
	l.configure(t, "IdentityFile "+l.ssh.KeyFile)
	return l
}

func (l *lab) know(t *testing.T, keys ...ssh.PublicKey) {
	t.Helper()
	text := ""
	for _, k := range keys {
		text += knownhosts.Line([]string{knownhosts.Normalize(l.ssh.Address)}, k) + "\n"
	}
	if err := os.WriteFile(l.known, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// configure writes what the name lab means.
func (l *lab) configure(t *testing.T, lines ...string) {
	t.Helper()
	host, port, _ := net.SplitHostPort(l.ssh.Address)
	text := "Host far\n  ProxyJump lab\n  Port 22\n  UserKnownHostsFile " + l.known + "2\n" + "Host *\n  HostName " + host + "\n  User root\n  Port " + port +
		"\n  UserKnownHostsFile " + l.known + "\n  GlobalKnownHostsFile none\n  " + strings.Join(lines, "\n  ") + "\n"
	file := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("NIXVM_SSH_CONFIG", file)
}

// ask connects anew and asks libvirtd for its version.
func (l *lab) ask(t *testing.T, uri string) error {
	t.Helper()
	target, err := parseURI(uri)
	if err != nil {
		t.Fatal(err)
	}
	r, err := newRemote(target, shortDir(t))
	if err != nil {
		return err
	}
	defer r.close()
	return askOver(t, r)
}

// shortDir is a place for sockets, whose paths are limited.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "nvr")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "lv")
}

func askOver(t *testing.T, r *remote) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c, err := connect(ctx, r.dialLibvirt, r.target.Remote)
	if err != nil {
		return err
	}
	defer c.close()
	_, err = c.l.ConnectGetLibVersion()
	return err
}

func TestLibvirtdOfAnotherHostIsReachedBySSH(t *testing.T) {
	l := newLab(t)
	if err := l.ask(t, "qemu+ssh://lab/system"); err != nil {
		t.Fatalf("a name of ~/.ssh/config: %v\n%s", err, problem.From(err).Hint)
	}
	if err := l.ask(t, fmt.Sprintf("qemu+ssh://root@%s/system?keyfile=%s&known_hosts=%s", l.ssh.Address, l.ssh.KeyFile, l.known)); err != nil {
		t.Errorf("a URI that says all: %v", err)
	}
	// Behind it, seen from it, is its own sshd at port 22.
	line := knownhosts.Line([]string{"127.0.0.1"}, l.ssh.HostKey)
	if err := os.WriteFile(l.known+"2", []byte(line+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := l.ask(t, "qemu+ssh://far/system"); err != nil {
		t.Errorf("with ProxyJump: %v", err)
	}
	l.configure(t, "IdentityFile /nonexistent", "IdentityAgent "+serveAgent(t, l.ssh.KeyFile))
	if err := l.ask(t, "qemu+ssh://lab/system"); err != nil {
		t.Errorf("with a key of the agent: %v", err)
	}
	// One key of another kind is known as well: the host has to show the one that it has.
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	other, err := ssh.NewPublicKey(&private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	l.know(t, other, l.ssh.HostKey)
	if err := l.ask(t, "qemu+ssh://lab/system"); err != nil {
		t.Errorf("with two known keys: %v", err)
	}

	l.configure(t, "IdentityFile "+l.ssh.KeyFile, "ProxyCommand bash -c 'exec 3<>/dev/tcp/127.0.0.1/%p; cat <&3 & exec cat >&3'")
	if err := l.ask(t, "qemu+ssh://lab/system"); err != nil {
		t.Errorf("with a ProxyCommand: %v", err)
	}

	for what, c := range map[string]struct {
		uri   string
		keys  []ssh.PublicKey
		lines []string
		code  problem.Code
		words []string
	}{
		"an unknown host": {
			code: problem.SSHHostKey, lines: []string{"IdentityFile " + l.ssh.KeyFile},
			words: []string{"host key of lab is not known", "ssh-keygen -lf", "ssh lab true"},
		},
		"a host with another key": {
			code: problem.SSHHostKey, keys: []ssh.PublicKey{publicKey(t)}, lines: []string{"IdentityFile " + l.ssh.KeyFile},
			words: []string{"may be intercepted", l.known + ":1"},
		},
		"a host with a key of another type": {
			code: problem.SSHHostKey, keys: []ssh.PublicKey{other}, lines: []string{"IdentityFile " + l.ssh.KeyFile},
			words: []string{"Offending RSA key in " + l.known + ":1"},
		},
		"no key": {
			code: problem.BackendUnreachable, keys: []ssh.PublicKey{l.ssh.HostKey}, lines: []string{"IdentityFile /nonexistent"},
			words: []string{"accepts none of your SSH keys", "Permission denied (publickey", "ssh-keygen", "ssh-copy-id lab"},
		},
		"a key with a passphrase": {
			code: problem.BackendUnreachable, keys: []ssh.PublicKey{l.ssh.HostKey}, lines: []string{"IdentityFile " + lockedKey(t)},
			words: []string{"passphrase: ssh-add"},
		},
		"a line that ssh does not know": {code: problem.SSHConfigMalformed, lines: []string{"NoSuchOption yes"}, words: []string{"nosuchoption", "ssh -G lab"}},
		"a check switched off":          {uri: "qemu+ssh://lab/system?no_verify=1", code: problem.ConfigInvalid, words: []string{"no_verify"}},
		"a password":                    {uri: "qemu+ssh://root:secret@lab/system", code: problem.ConfigInvalid, words: []string{"ssh-copy-id"}},
	} {
		l.know(t, c.keys...)
		l.configure(t, c.lines...)
		if c.uri == "" {
			c.uri = "qemu+ssh://lab/system"
		}
		err := l.ask(t, c.uri)
		p := problem.From(err)
		if !problem.HasCode(err, c.code) {
			t.Errorf("%s: %v, want code %s", what, err, c.code)
			continue
		}
		for _, w := range c.words {
			if !strings.Contains(p.Message+"\n"+p.Hint, w) {
				t.Errorf("%s: neither message nor hint has %q:\n%s\n%s", what, w, p.Message, p.Hint)
			}
		}
	}

	l.know(t, l.ssh.HostKey)
	l.configure(t, "IdentityFile "+l.ssh.KeyFile)
	l.KillLibvirtd(t)
	err = l.ask(t, "qemu+ssh://lab/system")
	if p := problem.From(err); !problem.HasCode(err, problem.BackendUnreachable) || !strings.Contains(p.Hint, "libvirtd.socket") {
		t.Errorf("without libvirtd: %v, hint %s", err, p.Hint)
	}
}

func TestOneSSHConnectionCarriesAllAndIsMadeAnewWhenItBreaks(t *testing.T) {
	l := newLab(t)
	target, err := parseURI("qemu+ssh://lab/system")
	if err != nil {
		t.Fatal(err)
	}
	r, err := newRemote(target, shortDir(t))
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	if err := askOver(t, r); err != nil {
		t.Fatal(err)
	}
	first := r.master
	if err := askOver(t, r); err != nil {
		t.Fatal(err)
	}
	if r.master != first {
		t.Error("a second stream has an SSH connection of its own")
	}

	// In the place of a guest: something that only the host can reach.
	var guest net.Listener
	if inErr := l.InNetwork("", func() { guest, err = net.Listen("tcp", "127.0.0.1:2222") }); inErr != nil || err != nil {
		t.Fatal(inErr, err)
	}
	defer guest.Close()
	go func() {
		for {
			conn, err := guest.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "SSH-2.0-guest\r\n")
			conn.Close()
		}
	}()
	for range 2 {
		e, err := r.endpoint("demo", "127.0.0.1:2222")
		if err != nil {
			t.Fatal(err)
		}
		conn, err := net.Dial(e.Network, e.Address)
		if err != nil {
			t.Fatal(err)
		}
		if banner, err := bufio.NewReader(conn).ReadString('\n'); err != nil || banner != "SSH-2.0-guest\r\n" {
			t.Errorf("through the tunnel comes %q, %v", banner, err)
		}
		conn.Close()
		l.ssh.Cut()
		<-first.ended
	}
	r.drop("demo")
	if err := askOver(t, r); err != nil {
		t.Errorf("after the connection broke: %v", err)
	}
}

// serveAgent is an SSH agent with one key.
func serveAgent(t *testing.T, keyFile string) string {
	t.Helper()
	data, err := os.ReadFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.ParseRawPrivateKey(data)
	if err != nil {
		t.Fatal(err)
	}
	ring := agent.NewKeyring()
	if err := ring.Add(agent.AddedKey{PrivateKey: key}); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "nva")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	listener, err := net.Listen("unix", filepath.Join(dir, "agent"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { defer conn.Close(); _ = agent.ServeAgent(ring, conn) }()
		}
	}()
	return listener.Addr().String()
}

func publicKey(t *testing.T) ssh.PublicKey {
	t.Helper()
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func lockedKey(t *testing.T) string {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "locked")
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
