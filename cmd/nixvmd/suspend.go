package main

import (
	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/api"
)

func newSuspend(a *app) *cobra.Command {
	return powerVerb{
		name: "suspend", short: "Pause a VM and keep its memory",
		method: api.MethodVMSuspend, done: "%s is suspended",
	}.command(a)
}
