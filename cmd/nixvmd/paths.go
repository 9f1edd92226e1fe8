package main

import (
	"io"

	"github.com/spf13/cobra"
)

// pathsAnswer is what paths --json prints: where a client finds the daemon, and
// what people may want to open. All are absolute.
type pathsAnswer struct {
	Socket    string `json:"socket"`
	SSHConfig string `json:"sshConfig"` // the Host blocks that the daemon writes
	Machines  string `json:"machines"`  // one directory per machine
	Log       string `json:"log"`       // of a daemon in the background
}

func newPaths(a *app) *cobra.Command {
	start := false
	c := &cobra.Command{
		Use: "paths", Short: "Print the paths of the socket, the settings and the log (for editors)",
		Long: `Print the daemon's socket and the paths of its files, which need not exist. With
--start, the daemon is started if necessary, and the paths are printed once it is
ready to accept connections.`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if start {
				d, err := a.connect(cmd.Context(), "paths", nil)
				if err != nil {
					return err
				}
				defer d.Close()
			}
			answer := pathsAnswer{Socket: a.layout.Socket(), SSHConfig: a.layout.SSHConfig(), Machines: a.layout.Machines(), Log: a.layout.DaemonLog()}
			return a.print(answer, func(w io.Writer) {
				fields(w, [][2]string{
					{"Socket", answer.Socket}, {"SSH configuration", answer.SSHConfig}, {"Machines", answer.Machines}, {"Log", answer.Log},
				}...)
			})
		},
	}
	c.Flags().BoolVar(&start, "start", false, "start the daemon if it is not running")
	return c
}
