package nix

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/internal/problem"
)

// features make the commands that we use work whether or not nix.conf has them:
// from nix's own installers it has not.
var features = []string{"--extra-experimental-features", "nix-command flakes"}

const (
	// gracePeriod is how long nix has to end its builders after each signal but
	// the last.
	gracePeriod = 10 * time.Second
	// pipeDelay is how long a process that nix has left behind may hold its
	// output open.
	pipeDelay = 5 * time.Second
	// longestAnswer bounds the standard output that is kept, in bytes.
	longestAnswer = 4 << 20
)

// Find returns the nix program: on the PATH, or where its installers put it,
// because a daemon that systemd starts has no login shell's PATH. "" = none.
func Find() string {
	if path, err := exec.LookPath("nix"); err == nil {
		return path
	}
	home, _ := os.UserHomeDir() // where there is none, the others are left
	for _, dir := range []string{
		"/nix/var/nix/profiles/default/bin", "/run/current-system/sw/bin", filepath.Join(home, ".nix-profile/bin"),
	} {
		if path, err := exec.LookPath(filepath.Join(dir, "nix")); err == nil {
			return path
		}
	}
	return ""
}

// run runs nix to its end and returns its standard output; the standard error
// goes to log. When ctx ends, nix is told to stop, and run returns when it and
// its builders have gone: the error is then that of the context.
func run(ctx context.Context, log io.Writer, args ...string) ([]byte, error) {
	program := Find()
	if program == "" {
		return nil, Missing()
	}
	var out limited
	cmd := exec.Command(program, append(append([]string(nil), features...), args...)...)
	// A group of its own: C-c in the terminal of a daemon in the foreground is not for nix.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Env = append(os.Environ(), "LC_ALL=C") // errors of the system in the words that classify knows
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &out, log, pipeDelay
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start nix: %w", err)
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		awaitEnd(cmd.Process.Pid)
	}()
	stop(ctx, cmd.Process.Pid, gracePeriod, gone)
	<-gone
	err := cmd.Wait()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // nix itself has ended well
	}
	return out.kept.Bytes(), err
}

// awaitEnd returns when a child has ended, and leaves it to be waited for: until
// then its number is that of no other process or group, and may be signalled.
func awaitEnd(pid int) {
	for unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
}

// stop ends nix once ctx has: by SIGINT and SIGTERM, at which nix ends its
// builders first and has the grace period for it, and in the end by SIGKILL of
// its process group. gone is closed when nix has ended; it has not been waited for
// before stop returns.
func stop(ctx context.Context, pid int, grace time.Duration, gone <-chan struct{}) {
	select {
	case <-gone:
		return
	case <-ctx.Done():
	}
	for _, sig := range []unix.Signal{unix.SIGINT, unix.SIGTERM} {
		_ = unix.Kill(pid, sig) // it may have ended: then gone is closed in a moment
		timer := time.NewTimer(grace)
		select {
		case <-gone:
			timer.Stop()
			return
		case <-timer.C:
		}
	}
	_ = unix.Kill(-pid, unix.SIGKILL)
}

// limited keeps the first bytes that are written to it. The buffer is not
// embedded: io.Copy would find its ReadFrom, which knows no limit.
type limited struct{ kept bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	if rest := longestAnswer - l.kept.Len(); rest > 0 {
		l.kept.Write(p[:min(len(p), rest)])
	}
	return len(p), nil
}

// Missing is the problem of a machine without nix.
func Missing() *problem.Error {
	return problem.New(problem.BackendMissing, "nix is not installed").WithHint("%s", InstallHint)
}

// InstallHint says how nix comes onto a machine. Debian 12's own package is too
// old for nixpkgs of today, so it is not what we name.
const InstallHint = "install it (see https://nixos.org/download); then run nixvmd shutdown, so that the next daemon finds it"

// Version returns what nix says of its version, e.g. "2.31.2".
func Version(ctx context.Context) (string, error) {
	out, err := run(ctx, io.Discard, "--version")
	if err != nil {
		return "", fmt.Errorf("nix --version: %w", err)
	}
	// "nix (Nix) 2.31.2"; other implementations put their name there.
	words := strings.Fields(string(out))
	if len(words) == 0 {
		return "", errors.New("nix --version prints nothing")
	}
	return words[len(words)-1], nil
}
