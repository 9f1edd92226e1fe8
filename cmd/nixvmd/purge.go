package main

import (
	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/rpc"
)

func newPurge(a *app) *cobra.Command {
	return removal{
		name: "purge", short: "Remove a VM, its machine directory and its backups",
		long: `Remove everything there is of a machine: what destroy removes, the machine
directory with its settings and identity whoever made it, and its backups.`,
		method: rpc.MethodVMPurge,
		more:   "the machine directory with its settings and identity, and its backups",
	}.command(a)
}
