package main

import (
	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/api"
)

func newStart(a *app) *cobra.Command {
	return powerVerb{
		name: "start", short: "Boot a VM and wait until it answers",
		long:   "Boot a VM and wait until its SSH server answers. A running VM is left alone.",
		method: api.MethodVMStart, done: "%s runs",
	}.command(a)
}
