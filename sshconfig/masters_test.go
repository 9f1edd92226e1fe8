package sshconfig

import (
	"context"
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

	"github.com/nixvm/nixvm/internal/forward"
	"github.com/nixvm/nixvm/internal/paths"
	"github.com/nixvm/nixvm/internal/problem"
)

// live is an applied machine demo whose guest is a real sshd, reached through
// the ProxyCommand, which the test binary plays from an awkward path.
func live(t *testing.T, h Host) (*Config, *guest) {
	t.Helper()
	sshdPath(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	exe := filepath.Join(shortDir(t), "it's 100% odd", "nixvmd")
	if err := os.Mkdir(filepath.Dir(exe), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, exe); err != nil {
		t.Fatal(err)
	}
	c := newConfig(t, func(o *Options) { o.Executable, o.ProxyArgs = exe, []string{"--home", "a \"b\" 'c' %d $e"} })
	writeUserConfig(t, c, "Host *\n  ForwardAgent yes\n  UserKnownHostsFile /dev/null\n  ControlMaster no\n")
	g := newGuest(t, c)
	g.start(t)
	t.Setenv(proxyEnv, g.address)
	h.HostKey = g.hostKey
	mustApply(t, c, h)
	g.await(t)
	t.Cleanup(func() {
		if err := c.CloseMasters(context.Background(), "demo"); err != nil {
			t.Error(err)
		}
	})
	return c, g
}

// sshTo runs a command in the guest as a user would.
func sshTo(t *testing.T, c *Config, g *guest, alias string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "ssh", append([]string{"-F", c.UserConfig(), "-l", g.user, alias}, args...)...)
	// The master stays and keeps what it inherits: no pipe, or this would wait for it.
	out, err := os.CreateTemp(t.TempDir(), "out")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	err = cmd.Run()
	return read(t, out.Name()), err
}

func TestMastersOfARealGuest(t *testing.T) {
	c, g := live(t, host("demo"))
	for _, alias := range []string{"demo", "demo-admin"} {
		if out, err := sshTo(t, c, g, alias, "echo", "hello"); err != nil || out != "hello\n" {
			t.Fatalf("ssh %s: %v %s", alias, err, out)
		}
		if alive, err := c.MasterAlive(t.Context(), alias); err != nil || !alive {
			t.Fatalf("no master for %s: %v", alias, err)
		}
	}
	if err := c.CloseMasters(t.Context(), "demo", "never-seen"); err != nil {
		t.Fatal(err)
	}
	for _, alias := range []string{"demo", "demo-admin"} {
		if alive, err := c.MasterAlive(t.Context(), alias); err != nil || alive {
			t.Errorf("%s still has a master: %v", alias, err)
		}
	}
}

// otherAccount lets the client key into an account that is not the test's own, and
// returns its name. Only root's sshd can do that.
func otherAccount(t *testing.T, g *guest) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only an sshd that runs as root lets another account in")
	}
	const account = "nobody"
	if err := os.Chmod(g.dir, 0o755); err != nil { // sshd reads the keys as the account
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(g.dir, "authorized_keys"), 0o644); err != nil {
		t.Fatal(err)
	}
	return account
}

// An account given on the command line must not lend its connection, and with it
// its rights, to the name of another account.
func TestAccountsDoNotShareAConnection(t *testing.T) {
	c, g := live(t, host("demo"))
	other := otherAccount(t, g)
	ssh := func(account string, args ...string) (string, error) {
		return sshTo(t, c, &guest{user: account}, "demo", args...)
	}
	// Its shell is no shell, so only a forward can be asked of it; the master stays.
	_, _ = ssh(other, "true")
	if !exists(c.opts.Layout.ControlSocket("demo", other)) {
		t.Fatalf("no master of %s", other)
	}
	if out, err := ssh(g.user, "id", "-un"); err != nil || out != g.user+"\n" {
		t.Errorf("ssh as %s after one as %s: %v %q", g.user, other, err, out)
	}
	if live, err := c.masters(t.Context(), "demo"); err != nil || len(live) != 2 {
		t.Errorf("masters %v, %v, want one for each account", live, err)
	}
	if err := c.CloseMasters(t.Context(), "demo"); err != nil {
		t.Fatal(err)
	}
	if live, err := c.masters(t.Context(), "demo"); err != nil || len(live) != 0 {
		t.Errorf("left: %v, %v", live, err)
	}
}

// Versions before had one ControlPath for all accounts. Its master outlives the
// change of the daemon, and must not outlive the VM.
func TestMasterUnderTheOldPathIsClosed(t *testing.T) {
	c, g := live(t, host("demo"))
	for _, path := range []string{
		c.opts.Layout.HostControlSocket("demo"),
		c.opts.Layout.ControlSocket("demo", "a%b"), // a token to ssh, unless it is escaped
		c.opts.Layout.HostControlSocket("demo-admin"),
	} {
		if out, err := sshTo(t, c, g, "demo", "-o", "ControlPath="+strings.ReplaceAll(path, "%", "%%"), "true"); err != nil {
			t.Fatalf("%v %s", err, out)
		}
		if !exists(path) {
			t.Fatalf("no master at %s", path)
		}
	}
	f := Forward{Listen: freeAddress(t), Target: "127.0.0.1:9"}
	if applied, err := c.ForwardAdd(t.Context(), "demo", f); err != nil || !applied {
		t.Errorf("a forward on a master under another path: %v %v", applied, err)
	}
	if applied, err := c.ForwardRemove(t.Context(), "demo", f); err != nil || !applied {
		t.Errorf("and off it again: %v %v", applied, err)
	}
	if err := c.CloseMasters(t.Context(), "demo"); err != nil {
		t.Fatal(err)
	}
	for _, alias := range []string{"demo", "demo-admin"} {
		if left, err := c.masters(t.Context(), alias); err != nil || len(left) != 0 {
			t.Errorf("left: %v, %v", left, err)
		}
	}
}

// The account takes part in the path, and ssh gives up on one that is too long. The
// accounts of a guest fit for any runtime directory.
func TestControlPathHasRoomForTheAccount(t *testing.T) {
	if n := len(paths.Layout{Runtime: "/" + strings.Repeat("x", 69)}.ControlSocket("demo", "admin")); n > maxControlPath {
		t.Errorf("with the longest runtime directory the path has %d bytes, ssh takes %d", n, maxControlPath)
	}
	long := strings.Repeat("x", 32) // the longest that useradd(8) makes
	if n := len(paths.Layout{Runtime: "/run/user/4294967295/nixvm"}.ControlSocket("demo", long)); n > maxControlPath {
		t.Errorf("with an account of 32 letters the path has %d bytes, ssh takes %d", n, maxControlPath)
	}
}

func TestPinnedKeyIsEnforcedBySSH(t *testing.T) {
	c, g := live(t, host("demo"))
	h := host("demo")
	h.HostKey = otherKey
	mustApply(t, c, h)
	out, err := sshTo(t, c, g, "demo", "true")
	if err == nil || !strings.Contains(out, "Host key verification failed") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestForwardsOfALiveMaster(t *testing.T) {
	c, g := live(t, host("demo"))
	target := echoServer(t, "tcp", freeAddress(t))
	_, port, _ := net.SplitHostPort(freeAddress(t))
	f, err := forward.Parse("127.0.0.1:" + port + " " + target)
	if err != nil {
		t.Fatal(err)
	}
	if applied, err := c.ForwardAdd(t.Context(), "demo", f); err != nil || applied {
		t.Errorf("without a master: %v %v", applied, err)
	}
	if out, err := sshTo(t, c, g, "demo", "true"); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	if applied, err := c.ForwardAdd(t.Context(), "demo", f); err != nil || !applied {
		t.Fatalf("add: %v %v", applied, err)
	}
	if got := echo(t, "tcp", f.Listen); got != "ping" {
		t.Errorf("through the forward: %q", got)
	}
	if applied, err := c.ForwardRemove(t.Context(), "demo", f); err != nil || !applied {
		t.Fatalf("remove: %v %v", applied, err)
	}
	var busy net.Listener // ssh tells the guest and does not wait for it
	eventually(t, "the guest stops listening", func() bool {
		busy, err = net.Listen("tcp", f.Listen)
		return err == nil
	})
	defer busy.Close()
	if _, err := c.ForwardRemove(t.Context(), "demo", f); err != nil {
		t.Errorf("removing twice: %v", err)
	}
	_, err = c.ForwardAdd(t.Context(), "demo", f)
	wantCode(t, err, problem.ForwardConflict, f.Listen)
	_, err = c.ForwardAdd(t.Context(), "demo", Forward{Listen: "/run/x", Target: "/run/y"})
	wantCode(t, err, problem.BadParams)
}

func TestForwardInTheHostBlockWorks(t *testing.T) {
	target := echoServer(t, "tcp", freeAddress(t))
	listen := freeAddress(t)
	h := host("demo")
	h.Forwards = []Forward{{Listen: listen, Target: target}}
	c, g := live(t, h)
	if out, err := sshTo(t, c, g, "demo", "true"); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	if got := echo(t, "tcp", listen); got != "ping" {
		t.Errorf("through the forward: %q", got)
	}
	// What TRAMP does: a second connection of its own. It must work, silently.
	if out, err := sshTo(t, c, g, "demo", "-o", "ControlPath=none", "-o", "ControlMaster=no", "echo", "second"); err != nil || out != "second\n" {
		t.Errorf("second connection: %v %q", err, out)
	}
}

func TestStaleSocketsAreSwept(t *testing.T) {
	c := newConfig(t)
	socket := c.opts.Layout.ControlSocket("demo", "user")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	_ = l.Close()
	if !exists(socket) {
		t.Fatal("no stale socket to sweep")
	}
	if err := c.CloseMasters(t.Context(), "demo"); err != nil {
		t.Fatal(err)
	}
	if exists(socket) {
		t.Error("the stale socket is left")
	}
}

// A master that listens and never answers must not hang us, and its socket is
// not ours to delete.
func TestStuckMasterIsReported(t *testing.T) {
	c := newConfig(t)
	socket := c.opts.Layout.ControlSocket("demo", "user")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	wantCode(t, c.CloseMasters(ctx, "demo"), problem.SSHUnreachable, "demo")
	if !exists(socket) {
		t.Error("the socket of a living process was deleted")
	}
}

// A black hole (suspended VM, host asleep) swallows everything: ending its
// masters must work all the same, and fast.
func TestCloseMastersOverABlackHole(t *testing.T) {
	c, g := live(t, host("demo"))
	hole := newBlackHole(t, g.address)
	t.Setenv(proxyEnv, hole.address)
	if out, err := sshTo(t, c, g, "demo", "true"); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	hole.swallow.Store(true)
	start := time.Now()
	if err := c.CloseMasters(t.Context(), "demo"); err != nil {
		t.Error(err)
	}
	t.Logf("closed in %s", time.Since(start))
	if alive, err := c.MasterAlive(t.Context(), "demo"); alive || err != nil {
		t.Errorf("alive %v %v", alive, err)
	}
}

// blackHole relays connections until swallow is set, and then loses every byte.
type blackHole struct {
	address string
	swallow atomic.Bool
}

func newBlackHole(t *testing.T, target string) *blackHole {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &blackHole{address: l.Addr().String()}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", target)
			if err != nil {
				_ = near.Close()
				continue
			}
			t.Cleanup(func() { _ = far.Close() })
			t.Cleanup(func() { _ = near.Close() })
			wg.Go(func() { h.copy(far, near) })
			wg.Go(func() { h.copy(near, far) })
		}
	})
	t.Cleanup(wg.Wait)
	t.Cleanup(func() { _ = l.Close() })
	return h
}

func (h *blackHole) copy(dst, src net.Conn) {
	b := make([]byte, 32<<10)
	for {
		n, err := src.Read(b)
		if !h.swallow.Load() {
			_, _ = dst.Write(b[:n])
		}
		if err != nil {
			if !h.swallow.Load() {
				_ = dst.Close()
			}
			return
		}
	}
}

// echoServer answers every connection with what it reads, and returns its address.
func echoServer(t testing.TB, network, address string) string {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(conn, conn)
				_ = conn.Close()
			}()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return l.Addr().String()
}

// echo sends ping and returns what comes back before the end.
func echo(t testing.TB, network, address string) string {
	t.Helper()
	conn, err := net.Dial(network, address)
	if err != nil {
		return fmt.Sprint(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := conn.Write([]byte("ping")); err != nil {
		return fmt.Sprint(err)
	}
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	data, err := io.ReadAll(conn)
	if err != nil {
		return fmt.Sprint(err)
	}
	return string(data)
}
