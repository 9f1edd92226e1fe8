package agent

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/nixvm/nixvm/internal/testproc"
)

// The same pull over the ssh of this package and a real sshd.
func TestAPullGoesThroughARealSSHServer(t *testing.T) {
	sshd := "/usr/sbin/sshd"
	if _, err := os.Stat(sshd); err != nil {
		t.Skip("no sshd here: install openssh-server to run this test")
	}
	h := newHouse(t)
	h.commit(".envrc", "x\n")
	dir, err := os.MkdirTemp("/tmp", "nvsshd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	key := func(name string) ssh.Signer {
		_, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		block, err := ssh.MarshalPrivateKey(private, "")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		signer, err := ssh.NewSignerFromKey(private)
		if err != nil {
			t.Fatal(err)
		}
		return signer
	}
	host, client := key("host"), key("client")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	_, port, _ := net.SplitHostPort(address)
	h.write(filepath.Join(dir, "authorized"), string(ssh.MarshalAuthorizedKey(client.PublicKey())))
	h.write(filepath.Join(dir, "config"), strings.Join([]string{
		"ListenAddress 127.0.0.1", "Port " + port, "HostKey " + dir + "/host", "PidFile none", "AuthorizedKeysFile " + dir + "/authorized",
		"StrictModes no", "UsePAM no", "SetEnv SHLVL=2", "PermitRootLogin prohibit-password",
	}, "\n")+"\n")
	_ = os.MkdirAll("/run/sshd", 0o755) //nolint:gosec // where sshd wants it, as root
	testproc.Start(t, exec.Command(sshd, "-D", "-e", "-f", filepath.Join(dir, "config")))
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	config := &ssh.ClientConfig{User: me.Username, Auth: []ssh.AuthMethod{ssh.PublicKeys(client)}, HostKeyCallback: ssh.FixedHostKey(host.PublicKey())}
	var c *ssh.Client
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for range 200 {
		if c, err = ssh.Dial("tcp", address, config); err == nil {
			break
		}
		<-tick.C
	}
	if err != nil {
		t.Fatal(err)
	}
	h.guest = Over(c)
	defer c.Close()
	if r := h.must(""); r.CommitCount != 1 || flag(r, "shell") == nil {
		t.Errorf("%+v", r)
	}
	if h.write(filepath.Join(h.project, "new"), ""); !Dirty(t.Context(), h.guest, h.project) {
		t.Error("a changed tree has no changes")
	}
	h.git(h.project, "checkout", "-q", "--detach")
	if _, err := Head(t.Context(), h.guest, h.project); err == nil || !strings.Contains(err.Error(), "no branch is checked out") {
		t.Errorf("%v", err)
	}
}
