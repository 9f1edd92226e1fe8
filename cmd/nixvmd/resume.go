package main

import (
	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/api"
)

func newResume(a *app) *cobra.Command {
	return powerVerb{
		name: "resume", short: "Resume a suspended VM and resync its clock",
		long: `Resume a suspended VM and resync its clock. A VM that is running only has its
clock resynced.`,
		method: api.MethodVMResume, done: "%s runs",
	}.command(a)
}
