package main

import (
	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/api"
)

func newPurge(a *app) *cobra.Command {
	return removal{
		name: "purge", short: "Remove a VM and its machine directory",
		long: `Remove what destroy removes, and the machine directory with its settings and
identity, even if create did not make it.`,
		method: api.MethodVMPurge,
	}.command(a)
}
