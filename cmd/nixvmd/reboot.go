package main

import (
	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/api"
)

func newReboot(a *app) *cobra.Command {
	return powerVerb{
		name: "reboot", short: "Shut the guest down, start it again and wait until it is ready",
		method: api.MethodVMReboot, done: "%s has rebooted",
	}.command(a)
}
