package main

import (
	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/api"
)

func newStart(a *app) *cobra.Command {
	return powerVerb{
		name: "start", short: "Boot a VM and wait until it is ready",
		long: `Boot a VM and wait until it is ready. Does nothing if the VM is running. If the
machine is only declared, its VM is created first.`,
		method: api.MethodVMStart, done: "%s runs",
	}.command(a)
}
