package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/backends/all"
	"github.com/nixvm/nixvm/internal/rotate"
	"github.com/nixvm/nixvm/internal/version"
	"github.com/nixvm/nixvm/rpc"
	"github.com/nixvm/nixvm/rpc/client"
	"github.com/nixvm/nixvm/vm"
)

// maxLog is how large log/nixvmd.log grows, in bytes, before a new one is begun; one
// old one is kept.
const maxLog = 4 << 20

func newServe(a *app) *cobra.Command {
	readyFD := 0
	cmd := &cobra.Command{
		Use: "serve", Short: "Run the daemon in the foreground",
		Long: `Run the daemon in the foreground and log to standard error. Other commands start
the daemon if necessary, and systemd can start it by socket activation.

SIGTERM and SIGINT stop the daemon. VMs keep running, and the next daemon adopts
them. SIGHUP is ignored.`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if readyFD == 0 {
				return a.serve(cmd.Context(), a.err, func(error) error { return nil })
			}
			log := logFile(a.layout.DaemonLog())
			defer log.Close()
			return a.serve(cmd.Context(), log, func(err error) error { return client.SignalReady(readyFD, err) })
		},
	}
	cmd.Flags().IntVar(&readyFD, "ready-fd", 0, "write to the file descriptor `N` when the daemon is ready")
	return cmd
}

// serve runs the daemon until it is asked to end, and logs to output. ready is told once: that
// clients are served, or why they will not be.
func (a *app) serve(ctx context.Context, output io.Writer, ready func(error) error) error {
	// A daemon that was started from a terminal stays when that goes.
	signal.Ignore(syscall.SIGHUP)
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt)
	defer stop()
	level := slog.LevelInfo
	if a.verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(output, &slog.HandlerOptions{Level: level}))

	// The socket first: it is also the lock that keeps a second daemon away from
	// the machines, and clients that come early wait in its queue.
	listener, err := rpc.Listen(a.layout)
	if err != nil {
		return errors.Join(err, ready(err))
	}
	defer listener.Close()
	service, err := vm.OpenDefault(ctx, a.layout, a.exe, all.Drivers(), log)
	if err != nil {
		// No client may find the socket of a daemon that will not answer, nor the lock
		// of one that has said so.
		return errors.Join(err, listener.Release(), ready(err))
	}
	server := rpc.NewServer(service, rpc.Options{
		Version: version.String(), RuntimeDir: a.layout.Runtime, SSHConfig: service.SSHConfigFile(), Log: log,
	})
	log.Info("started", "version", version.String(), "pid", os.Getpid(), "socket", a.layout.Socket())
	if err := ready(nil); err != nil {
		log.Warn("cannot report readiness to the process that started the daemon", "error", err)
	}
	err = server.Serve(ctx, listener)
	// From here on a second signal ends the process at once.
	stop()
	err = errors.Join(err, service.Close())
	log.Info("stopped", "error", err)
	return err
}

// logFile is the log of a daemon that runs in the background: what its guests do
// shows there, so it is bounded. The standard error, which the process that started this
// daemon has opened, follows it.
func logFile(path string) *rotate.File {
	return &rotate.File{Path: path, Old: path + ".old", Limit: maxLog, Opened: func(f *os.File) error {
		return unix.Dup3(int(f.Fd()), int(os.Stderr.Fd()), 0)
	}}
}
