package trial

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// markName is in the environment of every program of one run, and so of all that
// they start: a process that leaves the group and the session of its parent, as
// fakeroot's daemon does, still has it.
const markName = "NIXVM_BUILD_RUN"

// reapLimit bounds the end of what a cancelled build has left.
const reapLimit = 5 * time.Second

// reap ends the processes that have the mark and returns when there are none.
// They are of a build that is over, so none of them has anything to save.
func reap(ctx context.Context, mark string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reapLimit)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		left := killMarked(mark)
		if left == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%d processes of the cancelled build have not ended", left)
		}
	}
}

// killMarked kills the processes that have the mark and returns how many it found.
func killMarked(mark string) (found int) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() || !marked(pid, mark) {
			continue
		}
		// A number may be another process's by now: only what is held is compared and killed.
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue
		}
		if marked(pid, mark) {
			found++
			if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); errors.Is(err, unix.ESRCH) {
				found--
			}
		}
		unix.Close(fd)
	}
	return found
}

// marked reports whether a process of this user has the mark in its environment.
// A zombie has none any more.
func marked(pid int, mark string) bool {
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	return err == nil && slices.Contains(strings.Split(string(env), "\x00"), markName+"="+mark)
}
