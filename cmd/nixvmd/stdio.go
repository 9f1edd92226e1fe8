package main

import (
	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/rpc/client"
)

func newStdio(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "stdio", Short: "Speak the protocol on standard input and output (for editors)",
		Long: `Connect standard input and output to the daemon, and start it if necessary: for
editors that talk to a child process instead of a socket. The protocol is described
in docs/protocol.md.`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return client.Bridge(cmd.Context(), a.layout, a.program(), a.in, a.out.Writer)
		},
	}
}
