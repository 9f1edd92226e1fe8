package main

import (
	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/rpc/client"
)

func newStdio(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "stdio", Short: "Speak the protocol on standard input and output (for editors)",
		Long: `Join standard input and output with the daemon, starting it when none runs: for
editors that speak to a child process instead of a socket. docs/protocol.md
describes what is spoken.`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return client.Bridge(cmd.Context(), a.layout, a.program(), a.in, a.out.Writer)
		},
	}
}
