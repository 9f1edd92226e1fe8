package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/nixvm/nixvm/internal/paths"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/sleep"
)

// startLimit is how long a daemon may take to listen. It reads every machine
// and asks every backend first.
const startLimit = 60 * time.Second

// readyFD is the descriptor that a started daemon reports on.
const readyFD = 3

// Program is how the daemon is started.
type Program struct {
	Path string   // absolute path of nixvmd
	Args []string // before "serve", e.g. --home DIR
}

// DialOrStart connects to the daemon, starting one in the background when none
// runs. Clients that do so at the same time all end up with the same daemon.
func DialOrStart(ctx context.Context, layout paths.Layout, p Program, o Options) (*Client, error) {
	c, err := dialOrStartOnce(ctx, layout, p, o)
	if problem.HasCode(err, problem.DaemonUnreachable) && ctx.Err() == nil {
		// A daemon listens before it knows that it can serve, and one that ends
		// still has clients in its queue: the next one answers, or says why not.
		return dialOrStartOnce(ctx, layout, p, o)
	}
	return c, err
}

func dialOrStartOnce(ctx context.Context, layout paths.Layout, p Program, o Options) (*Client, error) {
	conn, err := dialOrStart(ctx, layout, p)
	if err != nil {
		return nil, err
	}
	return New(ctx, conn, o)
}

// dialOrStart returns a connection. If several processes start a daemon, only one of
// them gets the lock, and the others wait here until it listens; or until it has
// ended, and then theirs may start.
func dialOrStart(ctx context.Context, layout paths.Layout, p Program) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		conn, err := dial(ctx, layout)
		if err == nil || !problem.HasCode(err, problem.DaemonUnreachable) || ctx.Err() != nil {
			return conn, err
		}
		err = start(ctx, layout, p)
		if err == nil {
			return dial(ctx, layout)
		}
		if !problem.HasCode(err, problem.DaemonRunning) {
			return nil, err
		}
		if conn, err := dialSoon(ctx, layout, retryStart); err == nil {
			return conn, nil
		}
	}
}

// retryStart is after how long without an answer another start is tried.
const retryStart = time.Second

// dialSoon waits for a daemon that has its lock and is about to listen.
func dialSoon(ctx context.Context, layout paths.Layout, limit time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for delay := time.Millisecond; ; delay = min(2*delay, 100*time.Millisecond) {
		conn, err := dial(ctx, layout)
		if err == nil {
			return conn, nil
		}
		if !sleep.For(ctx, delay) {
			return nil, err
		}
	}
}

// start runs the daemon in a session of its own and returns when it listens.
func start(ctx context.Context, layout paths.Layout, p Program) error {
	if err := layout.Ensure(); err != nil {
		return err
	}
	logPath := layout.DaemonLog()
	log, err := os.OpenFile(logPath, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open the daemon's log: %w", err)
	}
	defer log.Close()
	ready, theirs, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("start nixvmd: %w", err)
	}
	defer ready.Close()
	cmd := exec.Command(p.Path, slices.Concat(p.Args, []string{"serve", "--ready-fd", fmt.Sprint(readyFD)})...)
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles, cmd.Dir = log, log, []*os.File{theirs}, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		return problem.New(problem.DaemonUnreachable, "cannot start nixvmd: %w", err).WithHint("start it by hand: nixvmd serve")
	}
	// Reaps the daemon should it end while this client lives.
	go func() { _ = cmd.Wait() }()
	return awaitReady(ctx, ready, logPath)
}

func awaitReady(ctx context.Context, ready *os.File, logPath string) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { ready.Close() })
	defer stop()
	line, err := bufio.NewReader(ready).ReadString('\n')
	line = strings.TrimSpace(line)
	var p problem.Error
	switch {
	case line == readyLine:
		return nil
	case json.Unmarshal([]byte(line), &p) == nil && p.Code != "":
		return &p
	case ctx.Err() != nil:
		return problem.New(problem.DaemonUnreachable, "nixvmd did not start: %w", context.Cause(ctx)).WithHint("see %s", logPath).Retry()
	case err != nil && !errors.Is(err, io.EOF):
		return fmt.Errorf("wait for nixvmd: %w", err)
	}
	return problem.New(problem.DaemonUnreachable, "nixvmd exited before it accepted connections").WithHint("see %s, or run nixvmd serve", logPath)
}

const readyLine = "ready"

// SignalReady is the daemon's side of DialOrStart: it reports on the descriptor
// of --ready-fd that the daemon listens, or why it does not, and closes it.
func SignalReady(fd int, err error) error {
	f := os.NewFile(uintptr(fd), "ready")
	if f == nil {
		return fmt.Errorf("--ready-fd %d is not an open file", fd)
	}
	defer f.Close()
	line := readyLine
	if p := problem.From(err); p != nil {
		data, merr := json.Marshal(p)
		if merr != nil {
			return merr
		}
		line = string(data)
	}
	_, werr := fmt.Fprintln(f, line)
	return werr
}
