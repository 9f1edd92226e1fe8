package main

import (
	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/backends/qemu/netstack"
	"github.com/nixvm/nixvm/backends/qemu/qemulog"
)

// newNetstack and newQemulog are no verbs for people: the embedded backend starts
// them for each VM, with inherited descriptors.
func newNetstack() *cobra.Command {
	return companion(netstack.Verb, "Be the network of a VM (started by the daemon)", netstack.Main)
}

func newQemulog() *cobra.Command {
	return companion(qemulog.Verb, "Write the log of a VM's QEMU (started by the daemon)", qemulog.Main)
}

func companion(verb, short string, main func() error) *cobra.Command {
	return &cobra.Command{
		Use: verb + " NAME", Short: short,
		Hidden: true,
		Args:   takes("NAME"), // for those who read ps
		// It needs no place of nixvm's.
		PersistentPreRunE: func(*cobra.Command, []string) error { return nil },
		RunE:              func(*cobra.Command, []string) error { return main() },
	}
}
