package trial

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/internal/progress"
)

// leaver is a program that starts a daemon as fakeroot does: in a session of its
// own, with no descriptor of ours and deaf to what its group is told. It says the
// process id of it and then works for ever.
const leaver = `#!/bin/sh
mkfifo "$1.begun"
setsid sh -c 'trap "" TERM HUP INT; echo $$ > "$1"; echo > "$1.begun"; exec sleep 1000' sh "$1" </dev/null >/dev/null 2>&1 &
read -r _ < "$1.begun"
echo started
[ "$2" = fail ] && exit 1
exec sleep 1000
`

func TestNothingOfACancelledBuildGoesOn(t *testing.T) {
	if _, err := exec.LookPath("setsid"); err != nil {
		t.Skip(err)
	}
	for _, how := range []string{"cancel", "fail"} {
		dir := t.TempDir()
		program, file := filepath.Join(dir, "leaver"), filepath.Join(dir, "pid")
		if err := os.WriteFile(program, []byte(leaver), 0o700); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		err := tool{report: func(u progress.Update) {
			if how == "cancel" && strings.Contains(u.Log, "started") {
				cancel()
			}
		}}.run(ctx, "", program, file, how)
		cancel()
		if err == nil || how == "cancel" && !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", how, err)
		}
		text, rerr := os.ReadFile(file)
		pid, perr := strconv.Atoi(strings.TrimSpace(string(text)))
		if rerr != nil || perr != nil {
			t.Fatal(rerr, perr)
		}
		// Dead, or a zombie that only its new parent can bury.
		if env, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ"); err == nil && len(env) > 0 {
			t.Errorf("%s: process %d goes on", how, pid)
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
}

func TestReapLeavesOthersAlone(t *testing.T) {
	other := exec.Command("sleep", "1000")
	other.Env = append(os.Environ(), markName+"=another")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Process.Kill(); _ = other.Wait() }()
	if err := reap(t.Context(), "one"); err != nil {
		t.Error(err)
	}
	if err := other.Process.Signal(unix.Signal(0)); err != nil {
		t.Errorf("it is gone: %v", err)
	}
}
