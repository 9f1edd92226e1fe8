package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/paths"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/testproc"
	"github.com/nixvm/nixvm/rpc"
	"github.com/nixvm/nixvm/rpc/client"
)

func shortLayout(t testing.TB) paths.Layout {
	t.Helper()
	return paths.Under(shortDir(t))
}

func listen(t testing.TB, layout paths.Layout) *rpc.Listener {
	t.Helper()
	l, err := rpc.Listen(layout)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Release() })
	return l
}

func TestTheSocketIsForThisUserOnly(t *testing.T) {
	layout := shortLayout(t)
	listen(t, layout)
	for path, want := range map[string]os.FileMode{layout.Socket(): 0o600, layout.Runtime: 0o700} {
		if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", path, fi.Mode(), err)
		}
	}
}

func TestTheSocketOfADeadDaemonIsReplaced(t *testing.T) {
	layout := shortLayout(t)
	if err := layout.Ensure(); err != nil {
		t.Fatal(err)
	}
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: layout.Socket(), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	stale := filepath.Join(layout.Runtime, "console-00000000.sock")
	if err := os.WriteFile(stale, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Dial(context.Background(), layout, client.Options{}); !problem.HasCode(err, problem.DaemonUnreachable) {
		t.Errorf("a dead socket: %v", err)
	}
	l := listen(t, layout)
	rpc.NewServer(newCore(), rpc.Options{RuntimeDir: layout.Runtime}).Close()
	if _, err := os.Stat(stale); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the console of a dead daemon is still there: %v", err)
	}
	if err := l.Release(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(layout.Socket()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket stays behind: %v", err)
	}
}

func TestASecondDaemonIsRefusedUntilTheFirstHasWoundDown(t *testing.T) {
	layout := shortLayout(t)
	l := listen(t, layout)
	_, err := rpc.Listen(layout)
	wantCode(t, err, problem.DaemonRunning)
	l.Close() // it serves no more, but its operations still end
	_, err = rpc.Listen(layout)
	wantCode(t, err, problem.DaemonRunning)
	if err := l.Release(); err != nil {
		t.Error(err)
	}
	listen(t, layout)
}

func TestASocketThatAnswersIsNotReplaced(t *testing.T) {
	layout := shortLayout(t)
	if err := layout.Ensure(); err != nil {
		t.Fatal(err)
	}
	other, err := net.Listen("unix", layout.Socket()) // without the lock
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	_, err = rpc.Listen(layout)
	wantCode(t, err, problem.DaemonRunning)
}

func TestASocketWithAFullQueueIsNotReplaced(t *testing.T) {
	layout := shortLayout(t)
	if err := layout.Ensure(); err != nil {
		t.Fatal(err)
	}
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrUnix{Name: layout.Socket()}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	queued, err := net.Dial("unix", layout.Socket()) // fills the queue: no process accepts
	if err != nil {
		t.Fatal(err)
	}
	defer queued.Close()
	if _, err := rpc.Listen(layout); !problem.HasCode(err, problem.DaemonRunning) {
		t.Errorf("Listen beside a socket whose queue is full: %v", err)
	}
	if _, err := os.Stat(layout.Socket()); err != nil {
		t.Error(err)
	}
}

func TestAFileInThePlaceOfTheSocketIsKept(t *testing.T) {
	layout := shortLayout(t)
	if err := layout.Ensure(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(layout.Socket(), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := rpc.Listen(layout); !problem.HasCode(err, problem.ConfigInvalid) {
		t.Errorf("Listen where a file is: %v", err)
	}
	if text, err := os.ReadFile(layout.Socket()); err != nil || string(text) != "mine" {
		t.Errorf("the file is %q now, %v", text, err)
	}
}

func TestOfDaemonsThatStartAtOnceOneListens(t *testing.T) {
	layout := shortLayout(t)
	var wg sync.WaitGroup
	got := make(chan *rpc.Listener, 16)
	for range cap(got) {
		wg.Go(func() {
			l, err := rpc.Listen(layout)
			if err == nil {
				got <- l
			} else if !problem.HasCode(err, problem.DaemonRunning) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(got) != 1 {
		t.Errorf("%d daemons listen", len(got))
	}
	for range len(got) {
		(<-got).Release()
	}
}

func TestASocketPathThatIsTooLongIsNamed(t *testing.T) {
	layout := shortLayout(t)
	layout.Runtime = filepath.Join(layout.Runtime, strings.Repeat("x", 100))
	_, err := rpc.Listen(layout)
	wantCode(t, err, problem.PathTooLong)
}

// childListen is a daemon that systemd started: it serves one client that says
// initialize and ends.
func childListen() error {
	layout, err := paths.FromEnv()
	if err != nil {
		return err
	}
	// systemd sets it between fork and exec; a test cannot.
	os.Setenv("LISTEN_PID", fmt.Sprint(os.Getpid()))
	l, err := rpc.Listen(layout)
	if err != nil {
		return err
	}
	if os.Getenv("LISTEN_FDS") != "" {
		return errors.New("the environment still says LISTEN_FDS")
	}
	conn, err := l.Accept()
	if err != nil {
		return err
	}
	l.Close()
	srv := rpc.NewServer(newCore("demo"), rpc.Options{})
	defer srv.Close()
	srv.ServeConn(context.Background(), conn)
	return nil
}

func runActivated(t *testing.T, layout paths.Layout, socket interface{ File() (*os.File, error) }) (*testproc.Process, *strings.Builder) {
	t.Helper()
	f, err := socket.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := child(t, "listen")
	cmd.Env = append(os.Environ(), "LISTEN_FDS=1", "NIXVM_HOME="+filepath.Dir(layout.Runtime))
	cmd.ExtraFiles = []*os.File{f}
	var out strings.Builder
	cmd.Stderr = &out
	return testproc.Start(t, cmd), &out
}

func child(t testing.TB, what string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	return exec.CommandContext(ctx, "/proc/self/exe", what)
}

func TestSystemdPassesItsSocket(t *testing.T) {
	layout := shortLayout(t)
	if err := layout.Ensure(); err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: layout.Socket(), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cmd, out := runActivated(t, layout, l)
	c, err := client.Dial(context.Background(), layout, client.Options{Name: "test"})
	if err != nil {
		t.Fatal(err, out)
	}
	call[api.MachineResult](t, c, api.MethodMachineGet, api.MachineParams{Name: "demo"})
	c.Close()
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if _, err := os.Stat(layout.Socket()); err != nil {
		t.Errorf("the daemon removed systemd's socket: %v", err)
	}
}

func TestANetworkSocketFromSystemdIsRefused(t *testing.T) {
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cmd, out := runActivated(t, shortLayout(t), l)
	if err := cmd.Wait(); err == nil || !strings.Contains(out.String(), "not a unix socket") {
		t.Errorf("%v: %s", err, out)
	}
}

// childDial is a client; it prints what became of it.
func childDial() error {
	layout := paths.Layout{Runtime: os.Getenv("NIXVM_TEST_RUNTIME")}
	if os.Getenv("NIXVM_TEST_PLAIN") == "" {
		_, err := client.Dial(context.Background(), layout, client.Options{})
		return fmt.Errorf("%s: %w", problem.From(err).Code, err)
	}
	conn, err := net.Dial("unix", layout.Socket())
	if err != nil {
		return err
	}
	_, err = client.New(context.Background(), conn, client.Options{})
	return fmt.Errorf("%s: %w", problem.From(err).Code, err)
}

func TestPeersOfAnotherUserAreRefusedByEither(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can run a helper as another user")
	}
	layout := serve(t, newCore("demo"))
	// No connection comes this far unless the permissions are wrong.
	for path, mode := range map[string]os.FileMode{layout.Runtime: 0o755, layout.Socket(): 0o666} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	stranger := func(env ...string) string {
		cmd := child(t, "dial")
		cmd.Dir = "/"
		cmd.Env = append(os.Environ(), append(env, "NIXVM_TEST_RUNTIME="+layout.Runtime)...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		out, _ := cmd.CombinedOutput()
		return string(out)
	}
	// The server refuses: root listens, so the client's own check lets it pass.
	for _, env := range []string{"A=b", "NIXVM_TEST_PLAIN=1"} {
		if out := stranger(env); !strings.Contains(out, string(problem.PeerRefused)+": the client belongs to user 65534") {
			t.Errorf("the stranger says: %s", out)
		}
	}
	c, _ := connect(t, layout, "ours")
	call[api.VersionResult](t, c, api.MethodVersion, nil)

	// The other way round: another process was there first.
	squatted := paths.Layout{Runtime: shortDir(t)}
	if err := os.Chmod(squatted.Runtime, 0o777); err != nil {
		t.Fatal(err)
	}
	cmd := child(t, "squat")
	cmd.Dir, cmd.Env = "/", append(os.Environ(), "NIXVM_TEST_RUNTIME="+squatted.Runtime)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	listens, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	squatter := testproc.Start(t, cmd)
	if _, err := listens.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	_, err = client.Dial(context.Background(), squatted, client.Options{})
	wantCode(t, err, problem.PeerRefused)
	if err := squatter.Wait(); err != nil {
		t.Error(err)
	}
}

// childSquat listens where the daemon should.
func childSquat() error {
	l, err := net.Listen("unix", paths.Layout{Runtime: os.Getenv("NIXVM_TEST_RUNTIME")}.Socket())
	if err != nil {
		return err
	}
	defer l.Close()
	os.Stdout.WriteString("x")
	conn, err := l.Accept()
	if err != nil {
		return err
	}
	return conn.Close()
}
