package rpc_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/paths"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/rpc"
	"github.com/nixvm/nixvm/rpc/client"
	"github.com/nixvm/nixvm/rpc/frame"
)

// childDaemon is what nixvmd serve is, as far as its clients can tell.
// NIXVM_TEST_DAEMON says what goes wrong.
func childDaemon() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	layout, err := paths.FromEnv()
	if err != nil {
		return err
	}
	const readyFD = 3
	l, err := rpc.Listen(layout)
	if err != nil {
		return errors.Join(err, client.SignalReady(readyFD, err))
	}
	switch os.Getenv("NIXVM_TEST_DAEMON") {
	case "fails":
		l.Close()
		err := problem.New(problem.ConfigInvalid, "config.toml:3: no such backend").WithHint("remove the line")
		return errors.Join(err, client.SignalReady(readyFD, err))
	case "dies":
		return errors.New("out of luck")
	}
	srv := rpc.NewServer(newCore("demo"), rpc.Options{Version: "child"})
	if err := client.SignalReady(readyFD, nil); err != nil {
		return err
	}
	return srv.Serve(ctx, l)
}

func daemonProgram(t testing.TB) (paths.Layout, client.Program) {
	t.Helper()
	layout := shortLayout(t)
	t.Setenv("NIXVM_HOME", filepath.Dir(layout.Runtime))
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return layout, client.Program{Path: exe, Args: append(make([]string, 0, 8), "daemon")}
}

// endDaemon ends a daemon and waits until it has ended.
func endDaemon(t testing.TB, pid int, sig syscall.Signal) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, sig, nil, 0); err != nil {
		t.Fatal(err)
	}
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(limit.Milliseconds()))
		if n == 1 {
			return
		}
		if err != nil && !errors.Is(err, unix.EINTR) || n == 0 {
			t.Fatalf("the daemon does not end: %v", err)
		}
	}
}

func TestClientsThatStartADaemonAtOnceShareOne(t *testing.T) {
	layout, program := daemonProgram(t)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var wg sync.WaitGroup
	pids := make(chan int, 4)
	for range cap(pids) {
		wg.Go(func() {
			c, err := client.DialOrStart(ctx, layout, program, client.Options{Name: "test"})
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			var v api.VersionResult
			if err := c.Call(ctx, api.MethodVersion, nil, &v); err != nil {
				t.Error(err)
			}
			pids <- v.PID
		})
	}
	wg.Wait()
	close(pids)
	first := 0
	for pid := range pids {
		if first == 0 {
			first = pid
		}
		if pid != first {
			t.Errorf("two daemons: %d and %d", first, pid)
		}
	}
	if first == 0 {
		t.FailNow()
	}
	endDaemon(t, first, syscall.SIGTERM)
	if _, err := os.Stat(layout.Socket()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the daemon leaves its socket behind: %v", err)
	}
	// After a crash the next client starts another one.
	for range 2 {
		c, err := client.DialOrStart(ctx, layout, program, client.Options{Name: "test"})
		if err != nil {
			t.Fatal(err)
		}
		pid := call[api.VersionResult](t, c, api.MethodVersion, nil).PID
		endDaemon(t, pid, syscall.SIGKILL)
		<-c.Done()
		wantCode(t, c.Call(ctx, api.MethodVersion, nil, nil), problem.DaemonUnreachable)
	}
}

func TestADaemonThatDoesNotStartSaysWhy(t *testing.T) {
	layout, program := daemonProgram(t)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	t.Setenv("NIXVM_TEST_DAEMON", "fails")
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			_, err := client.DialOrStart(ctx, layout, program, client.Options{})
			if p := problem.From(err); p == nil || p.Code != problem.ConfigInvalid || p.Hint != "remove the line" {
				t.Errorf("got %v", err)
			}
		})
	}
	wg.Wait()
	t.Setenv("NIXVM_TEST_DAEMON", "dies")
	_, err := client.DialOrStart(ctx, layout, program, client.Options{})
	if p := wantCode(t, err, problem.DaemonUnreachable); !strings.Contains(p.Hint, layout.Logs()) {
		t.Errorf("the hint %q does not name the log", p.Hint)
	}
	if log, err := os.ReadFile(filepath.Join(layout.Logs(), "nixvmd.log")); err != nil || !strings.Contains(string(log), "out of luck") {
		t.Errorf("the log has %q, %v", log, err)
	}
	program.Path = filepath.Join(layout.Runtime, "missing")
	_, err = client.DialOrStart(ctx, layout, program, client.Options{})
	wantCode(t, err, problem.DaemonUnreachable)
}

func TestAClientGivesUpWhenItIsTold(t *testing.T) {
	layout := shortLayout(t)
	l := listen(t, layout) // which accepts no connection
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		_, err := client.Dial(ctx, layout, client.Options{})
		done <- err
	}()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestErrorsOfOtherProgramsKeepTheirWords(t *testing.T) {
	near, far := net.Pipe()
	go func() {
		defer far.Close()
		buf := make([]byte, 4096)
		if _, err := far.Read(buf); err != nil {
			return
		}
		_, _ = far.Write(frame.Append(nil, []byte(`{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"moo"}}`)))
		_, _ = far.Read(buf)
	}()
	_, err := client.New(context.Background(), near, client.Options{})
	if p := wantCode(t, err, problem.Internal); !strings.Contains(p.Message, "moo") {
		t.Errorf("got %q", p.Message)
	}
}

// bridge runs a Bridge; the ends are ours.
func bridge(t testing.TB, layout paths.Layout) (stdin *io.PipeWriter, stdout *io.PipeReader, ended chan error) {
	t.Helper()
	in, stdin := io.Pipe()
	stdout, out := io.Pipe()
	ended = make(chan error, 1)
	go func() {
		ended <- client.Bridge(context.Background(), layout, client.Program{Path: "/nonexistent"}, in, out)
		out.Close()
	}()
	t.Cleanup(func() { stdin.Close() })
	return stdin, stdout, ended
}

func TestTheBridgeSendsTheLastAnswersAfterTheEndOfItsInput(t *testing.T) {
	stdin, stdout, ended := bridge(t, serve(t, newCore("demo")))
	go func() {
		_, _ = stdin.Write(frame.Append(nil, []byte(requestBody(1, api.MethodInitialize, `{}`))))
		_, _ = stdin.Write(frame.Append(nil, []byte(requestBody(2, api.MethodSnapshotList, `{"name":"demo"}`))))
		stdin.Close()
	}()
	out, err := io.ReadAll(stdout)
	if err != nil || bytes.Count(out, []byte("Content-Length")) != 2 || !bytes.Contains(out, []byte(`"id":2,"result":{"snapshots"`)) {
		t.Errorf("%v: %s", err, out)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestTheBridgeEndsWithTheDaemonAndWithItsReader(t *testing.T) {
	layout := shortLayout(t)
	l := listen(t, layout)
	stdin, stdout, ended := bridge(t, layout)
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if out, err := io.ReadAll(stdout); len(out) > 0 || err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	stdin.Close()

	stdin, stdout, ended = bridge(t, layout)
	if conn, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	stdout.Close()
	_, _ = conn.Write([]byte("x"))
	if err := <-ended; err == nil {
		t.Error("a reader that is gone is no error")
	}
	stdin.Close()
}

func TestTheBridgeEndsWithItsContext(t *testing.T) {
	layout := shortLayout(t)
	l := listen(t, layout)
	ctx, cancel := context.WithCancel(context.Background())
	in, stdin := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- client.Bridge(ctx, layout, client.Program{}, in, io.Discard) }()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := stdin.Write([]byte("x")); err != nil { // it is joined
		t.Fatal(err)
	}
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(limit):
		t.Error("it goes on")
	}
	stdin.Close()
}

func TestBytesPassTheBridgeUnchanged(t *testing.T) {
	layout := shortLayout(t)
	l := listen(t, layout)
	stdin, stdout, ended := bridge(t, layout)
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	sent, _ := json.Marshal(strings.Repeat("ä\x00\r\n", 100_000))
	go func() {
		_, _ = io.Copy(conn, conn) // an echo
		conn.Close()
	}()
	go func() {
		_, _ = stdin.Write(sent)
		stdin.Close()
	}()
	if got, err := io.ReadAll(stdout); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d bytes came back of %d: %v", len(got), len(sent), err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestADaemonThatDoesNotAnswerIsNamed: the kernel accepts connections for one
// that is stopped.
func TestADaemonThatDoesNotAnswerIsNamed(t *testing.T) {
	layout := paths.Under(shortDir(t))
	if err := layout.Ensure(); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", layout.Socket())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = client.Dial(context.Background(), layout, client.Options{Greeting: 50 * time.Millisecond})
	if p := wantCode(t, err, problem.DaemonSilent); !strings.Contains(p.Message, "50ms") || strings.Contains(p.Hint, "-KILL") {
		t.Errorf("%s (%s)", p.Message, p.Hint) // it is this test that listens, which is no nixvmd
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := client.Dial(ctx, layout, client.Options{}); problem.HasCode(err, problem.DaemonSilent) || err == nil {
		t.Errorf("given up: %v", err)
	}
}
