package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/version"
)

// versionAnswer is what version --json prints.
type versionAnswer struct {
	Version string             `json:"version"`
	Daemon  *api.VersionResult `json:"daemon,omitempty"`  // absent: none runs, or see Problem
	Problem *problem.Error     `json:"problem,omitempty"` // why the daemon that runs has not said its version
}

func newVersion(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version of this program and of the running daemon", Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			answer := versionAnswer{Version: version.String()}
			d, err := a.askVersion(cmd.Context())
			// No daemon is no error, and asking for a version starts none.
			if answer.Daemon = d; err != nil && !problem.HasCode(err, problem.DaemonUnreachable) {
				answer.Problem = problem.From(err)
			}
			return a.print(answer, func(w io.Writer) {
				fmt.Fprintf(w, "nixvmd %s\n", answer.Version)
				switch {
				case answer.Problem != nil:
					fmt.Fprintf(w, "the daemon is running, but: %s\n", answer.Problem.Message)
					if answer.Problem.Hint != "" {
						fmt.Fprintf(w, "hint: %s\n", answer.Problem.Hint)
					}
					return
				case answer.Daemon == nil:
					fmt.Fprintln(w, "the daemon is not running")
					return
				}
				fmt.Fprintf(w, "daemon %s, protocol %d, pid %d\n", answer.Daemon.Version, answer.Daemon.ProtocolVersion, answer.Daemon.PID)
			})
		},
	}
}

// versionLimit is how long the daemon may take for its version: it is no reason to wait for one that hangs.
const versionLimit = time.Second

// askVersion asks a daemon that runs.
func (a *app) askVersion(ctx context.Context) (*api.VersionResult, error) {
	d, err := a.connectWithin(ctx, "version", versionLimit)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	ctx, cancel := context.WithTimeout(ctx, versionLimit)
	defer cancel()
	var r api.VersionResult
	if err := d.Call(ctx, api.MethodVersion, api.NoParams{}, &r); err != nil {
		return nil, fmt.Errorf("ask for its version: %w", err)
	}
	return &r, nil
}
