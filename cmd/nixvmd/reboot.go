package main

import (
	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/rpc"
)

func newReboot(a *app) *cobra.Command {
	return powerVerb{
		name: "reboot", short: "Ask the guest to reboot and wait until it answers again",
		method: rpc.MethodVMReboot, done: "%s has rebooted",
	}.command(a)
}
