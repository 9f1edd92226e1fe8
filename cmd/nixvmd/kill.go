package main

import (
	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/api"
)

func newKill(a *app) *cobra.Command {
	return powerVerb{
		name: "kill", short: "End a VM at once, as pulling the plug would",
		long: "End a VM at once, as pulling the plug would. What the guest has not written to its disk is lost.\n" +
			"It works while another operation runs on the VM, or hangs: that one is cancelled.",
		method: api.MethodVMKill, done: "%s is off",
	}.command(a)
}
