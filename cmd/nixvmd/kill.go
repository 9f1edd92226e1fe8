package main

import (
	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/api"
)

func newKill(a *app) *cobra.Command {
	return powerVerb{
		name: "kill", short: "Power a VM off immediately",
		long: "Power a VM off immediately. Data that the guest has not yet written to disk is lost.\n" +
			"Any operation running on the VM is cancelled.",
		method: api.MethodVMKill, done: "%s is off",
	}.command(a)
}
