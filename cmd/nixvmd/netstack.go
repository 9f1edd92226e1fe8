package main

import (
	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/backends/qemu/netstack"
)

// newNetstack is no verb for people: the embedded backend starts it for each VM,
// with descriptors that nobody types.
func newNetstack() *cobra.Command {
	return &cobra.Command{
		Use: netstack.Verb + " NAME", Short: "Be the network of a VM (started by the daemon)",
		Hidden: true,
		Args:   takes("NAME"), // for those who read ps
		// It needs no place of nixvm's.
		PersistentPreRunE: func(*cobra.Command, []string) error { return nil },
		RunE:              func(*cobra.Command, []string) error { return netstack.Main() },
	}
}
