package main

import (
	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/api"
)

func newResume(a *app) *cobra.Command {
	return powerVerb{
		name: "resume", short: "Let a suspended VM go on",
		long: `Let a suspended VM go on, with its clock put right. Of a VM that was not suspended
only the clock is put right.`,
		method: api.MethodVMResume, done: "%s runs",
	}.command(a)
}
