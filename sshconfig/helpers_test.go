package sshconfig

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"

	"github.com/nixvm/nixvm/internal/paths"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/testproc"
)

// The test binary also plays the programs around the package: as `... proxy
// ALIAS` it is nixvmd, and with helperEnv set it is a process that applies.
const (
	proxyEnv  = "NIXVM_TEST_PROXY_ADDRESS"
	helperEnv = "NIXVM_TEST_HELPER"
)

func TestMain(m *testing.M) {
	if n := len(os.Args); n >= 3 && os.Args[n-2] == "proxy" {
		os.Exit(proxy(os.Getenv(proxyEnv)))
	}
	if os.Getenv(helperEnv) != "" {
		os.Exit(helper(os.Getenv(helperEnv)))
	}
	goleak.VerifyTestMain(m)
}

// refusePrefix makes the proxy refuse with the text after it.
const refusePrefix = "refuse:"

func proxy(address string) int {
	if reason, ok := strings.CutPrefix(address, refusePrefix); ok {
		if err := Refuse(os.Stdin, os.Stdout, reason); err != nil {
			return 1
		}
		return 0
	}
	conn, err := net.Dial("tcp", address)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	go func() {
		_, _ = io.Copy(conn, os.Stdin)
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(os.Stdout, conn)
	return 0
}

// shortDir is a temporary directory with a short path: control sockets lie in it.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "nv")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// newConfig opens a Config in a fresh home. change may edit the options.
func newConfig(t testing.TB, change ...func(*Options)) *Config {
	t.Helper()
	home := shortDir(t)
	o := Options{
		Layout:     paths.Under(filepath.Join(home, "nixvm")),
		UserConfig: filepath.Join(home, ".ssh", "config"),
		Executable: "/opt/nixvm/bin/nixvmd",
	}
	for _, f := range change {
		f(&o)
	}
	c, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	c.sshDir = filepath.Dir(o.UserConfig)
	return c
}

// writeUserConfig gives the user a configuration.
func writeUserConfig(t testing.TB, c *Config, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(c.UserConfig()), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.UserConfig(), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// Fixed keys, so that goldens hold.
const (
	demoKey  = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDBRbG/ua1TmNueyfsdFDAiFC0eJLE80bSiJ7inEXPMZ"
	otherKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDDkh4KwmWeQV6yhQdoVIAJazv/CX3Z6HH95Bk6yzRgp"
)

// host is a valid Host; its UUID depends on the name.
func host(name string) Host {
	var sum byte
	for i := range len(name) {
		sum += name[i]
	}
	return Host{Name: name, UUID: fmt.Sprintf("00000000-0000-4000-8000-0000000000%02x", sum), HostKey: demoKey}
}

func hosts(names ...string) []Host {
	var all []Host
	for _, n := range names {
		all = append(all, host(n))
	}
	return all
}

// mustApply applies and expects no problem.
func mustApply(t testing.TB, c *Config, hosts ...Host) Result {
	t.Helper()
	res, err := c.Apply(t.Context(), hosts)
	if err != nil {
		t.Fatalf("apply: %v\nhint: %s", err, problem.From(err).Hint)
	}
	return res
}

// wantCode expects a problem with this code and every one of the words in its
// message or hint.
func wantCode(t testing.TB, err error, code problem.Code, words ...string) {
	t.Helper()
	if !problem.HasCode(err, code) {
		t.Fatalf("got error %v, want code %s", err, code)
	}
	p := problem.From(err)
	for _, w := range words {
		if !strings.Contains(p.Message, w) && !strings.Contains(p.Hint, w) {
			t.Errorf("neither message nor hint has %q\nmessage: %s\nhint: %s", w, p.Message, p.Hint)
		}
	}
}

// resolve is what `ssh -G` prints for a host, with the user's configuration.
func resolve(t testing.TB, config, alias string) map[string]string {
	t.Helper()
	out, err := exec.Command("ssh", "-G", "-F", config, alias).CombinedOutput()
	if err != nil {
		t.Fatalf("ssh -G %s: %v\n%s", alias, err, out)
	}
	values := map[string]string{}
	for line := range strings.SplitSeq(string(out), "\n") {
		k, v, _ := strings.Cut(line, " ")
		if values[k] == "" {
			values[k] = v
		}
	}
	return values
}

// newKey makes a key pair: a signer and the public line.
func newKey(t testing.TB) (ssh.Signer, string, []byte) {
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
	return signer, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey()))), pem.EncodeToMemory(block)
}

// guest is a real sshd on the loopback, in the role of the VM's.
type guest struct {
	address string
	hostKey string // pinned line
	user    string // the account that exists here
	dir     string
	conf    string
	sshd    *testproc.Process
}

func sshdPath(t testing.TB) string {
	t.Helper()
	for _, p := range []string{"/usr/sbin/sshd", "/usr/bin/sshd"} {
		if exists(p) {
			return p
		}
	}
	t.Skip("no sshd here: install openssh-server to run this test")
	return ""
}

// newGuest prepares an sshd that lets the client key in; extra lines go into
// its configuration. It is not started.
func newGuest(t testing.TB, c *Config, extra ...string) *guest {
	t.Helper()
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	pub, err := c.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	_, hostKey, private := newKey(t)
	g := &guest{address: freeAddress(t), hostKey: hostKey, user: me.Username, dir: shortDir(t)}
	_, port, _ := net.SplitHostPort(g.address)
	g.conf = filepath.Join(g.dir, "sshd_config")
	files := map[string]string{
		"host_key": string(private), "authorized_keys": pub + "\n",
		"sshd_config": strings.Join(append([]string{
			"ListenAddress 127.0.0.1", "Port " + port, "HostKey " + g.dir + "/host_key", "PidFile none",
			"AuthorizedKeysFile " + g.dir + "/authorized_keys", "StrictModes no", "UsePAM no",
			// What the shells of this account run at their start (SHLVL below 2: bash) is
			// not the test's: a slow ~/.bashrc would be a slow guest.
			"SetEnv SHLVL=2",
			"PasswordAuthentication no", "PermitRootLogin prohibit-password", "Subsystem sftp internal-sftp",
		}, append(extra, "StreamLocalBindUnlink yes")...), "\n") + "\n",
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(g.dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return g
}

// start runs sshd in the foreground, so that it can be ended by its process.
func (g *guest) start(t testing.TB) {
	t.Helper()
	path := sshdPath(t)
	if os.Getuid() == 0 && !exists("/run/sshd") { // sshd's privilege separation directory
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Skipf("sshd needs /run/sshd: %v", err)
		}
	}
	cmd := exec.Command(path, "-D", "-e", "-f", g.conf)
	// A file, not a pipe: sshd's sessions keep it open longer than sshd lives.
	log, err := os.Create(filepath.Join(g.dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stderr = log
	g.sshd = testproc.Start(t, cmd)
	t.Cleanup(func() {
		g.stop()
		if t.Failed() {
			t.Logf("sshd:\n%s", read(t, log.Name()))
		}
	})
}

func (g *guest) stop() {
	if g.sshd != nil {
		g.sshd.Kill()
		g.sshd = nil
	}
}

func (g *guest) dial(ctx context.Context) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, "tcp", g.address)
}

func (g *guest) await(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := WaitReady(ctx, WaitOptions{Dial: g.dial, HostKey: g.hostKey}); err != nil {
		t.Fatal(err)
	}
}

// freeAddress is a loopback address on which no process listens now.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// eventually polls until f holds; for what has no event to wait for.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	deadline := time.After(2 * time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-deadline:
			t.Fatalf("never: %s", what)
		case <-tick.C:
		}
	}
}

func runCommand(name string, args ...string) (string, error) {
	out, err := exec.Command(name, args...).CombinedOutput()
	return string(out), err
}

func itoa(n int) string { return strconv.Itoa(n) }

// fields are the numbers in a line.
func fields(s string) []int {
	var all []int
	for _, w := range strings.Fields(s) {
		if n, err := strconv.Atoi(w); err == nil {
			all = append(all, n)
		}
	}
	return all
}
