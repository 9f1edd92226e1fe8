package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

// shutdownLimit is how long the daemon may take to go. It is more than all of its own
// limits together, for any hang.
const shutdownLimit = 30 * time.Second

// shutdownAnswer is what shutdown --json prints.
type shutdownAnswer struct {
	PID     int    `json:"pid,omitempty"` // of the daemon that ran
	Version string `json:"version,omitempty"`
	Ran     bool   `json:"ran"`
}

func newShutdown(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "shutdown", Short: "Stop the daemon; VMs keep running",
		Long: `Stop the running daemon. VMs keep running, and the next command starts a new daemon
that adopts them. Use this to switch to a new version of nixvmd.`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			d, err := a.connectRunning(ctx, "shutdown")
			if problem.HasCode(err, problem.DaemonUnreachable) {
				return a.print(shutdownAnswer{}, func(w io.Writer) { fmt.Fprintln(w, "the daemon is not running") })
			}
			if err != nil {
				return err
			}
			defer d.Close()
			var v api.VersionResult
			if err := d.Call(ctx, api.MethodVersion, api.NoParams{}, &v); err != nil {
				return err
			}
			if err := terminate(ctx, v.PID); err != nil {
				return err
			}
			return a.print(shutdownAnswer{PID: v.PID, Version: v.Version, Ran: true}, func(w io.Writer) {
				fmt.Fprintf(w, "the daemon (pid %d) has stopped; VMs keep running\n", v.PID)
			})
		},
	}
}

// terminate asks a process to end and waits until it has. The descriptor is
// taken while the daemon is known to live: its number cannot become another
// process's in between.
func terminate(ctx context.Context, pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return fmt.Errorf("find the daemon's process %d: %w", pid, err)
	}
	process := os.NewFile(uintptr(fd), "pidfd")
	defer process.Close()
	if err := unix.PidfdSendSignal(fd, unix.SIGTERM, nil, 0); err != nil {
		return fmt.Errorf("ask the daemon to stop: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, shutdownLimit)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		for {
			_, err := unix.Poll(fds, int(shutdownLimit/time.Millisecond))
			if !errors.Is(err, unix.EINTR) {
				ended <- err
				return
			}
		}
	}()
	select {
	case err := <-ended:
		if err != nil {
			return fmt.Errorf("wait for the daemon: %w", err)
		}
		return nil
	case <-ctx.Done():
		return problem.New(problem.Internal, "the daemon (pid %d) was asked to stop and is still running", pid).
			WithHint("see its log, or kill it; VMs and operations survive that")
	}
}
