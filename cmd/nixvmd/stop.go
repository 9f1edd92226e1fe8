package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

func newStop(a *app) *cobra.Command {
	var timeout time.Duration
	detach := false
	cmd := &cobra.Command{
		Use: "stop NAME", Short: "Shut the guest down and wait until it has powered off",
		Long: `Shut the guest down and wait until it has powered off. If it does not power off
in time, it keeps running; nixvmd kill forces it off.`,
		Args: takes("NAME"), ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			params := api.StopParams{Work: api.Work{Detach: true}, Name: args[0]}
			if cmd.Flags().Changed("timeout") {
				seconds := int(timeout.Round(time.Second) / time.Second)
				if seconds < 1 {
					return problem.New(problem.BadParams, "--timeout: %s is less than a second", timeout).WithHint("write a time such as 30s or 5m")
				}
				params.TimeoutSeconds = &seconds
			}
			result, err := a.operate(cmd.Context(), "stop", api.MethodVMStop, params, detach)
			if err != nil {
				return err
			}
			return a.printOperation(result, detach, func(w io.Writer) { fmt.Fprintf(w, "%s is off\n", args[0]) })
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "how long to wait for the guest, e.g. `90s`")
	detachFlag(cmd, &detach)
	return cmd
}
