package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/internal/version"
	"github.com/nixvm/nixvm/rpc"
)

// versionAnswer is what version --json prints.
type versionAnswer struct {
	Version string             `json:"version"`
	Daemon  *rpc.VersionResult `json:"daemon,omitempty"` // absent: none runs
}

func newVersion(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version of this program and of the daemon that runs", Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			answer := versionAnswer{Version: version.String()}
			ctx, cancel := context.WithTimeout(cmd.Context(), time.Second)
			defer cancel()
			// No daemon is no error, and asking for a version starts none.
			if d, err := a.connectRunning(ctx, "version"); err == nil {
				defer d.Close()
				var r rpc.VersionResult
				if d.Call(ctx, rpc.MethodVersion, rpc.NoParams{}, &r) == nil {
					answer.Daemon = &r
				}
			}
			return a.print(answer, func(w io.Writer) {
				fmt.Fprintf(w, "nixvmd %s\n", answer.Version)
				if answer.Daemon == nil {
					fmt.Fprintln(w, "no daemon runs")
					return
				}
				fmt.Fprintf(w, "daemon %s, protocol %d, pid %d\n", answer.Daemon.Version, answer.Daemon.ProtocolVersion, answer.Daemon.PID)
			})
		},
	}
}
