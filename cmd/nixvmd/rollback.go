package main

import (
	"strconv"

	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

func newRollback(a *app) *cobra.Command {
	var f bootFlags
	cmd := &cobra.Command{
		Use: "rollback NAME [GENERATION]", Short: "Return a VM to an earlier image; its data is kept",
		Long: `Boot a VM from the image of one of its generations; without a number, of the one
before the current one. The data in /var and /home and the snapshots are not
changed. The VM is checked as after an upgrade.

The machine's settings do not change: status shows profiles that the image does not
have as pending, and the next upgrade applies them.`,
		Args: takes("NAME", "[GENERATION]"), ValidArgsFunction: a.completeGenerations,
		RunE: func(cmd *cobra.Command, args []string) error {
			params := api.RollbackParams{Work: api.Work{Detach: true}, Name: args[0], AllowDegraded: f.allowDegraded}
			if len(args) > 1 {
				n, err := strconv.Atoi(args[1])
				if err != nil || n < 1 {
					return problem.New(problem.BadParams, "%q is not the number of a generation", args[1]).WithHint("nixvmd generations %s lists them", args[0])
				}
				params.Generation = &n
			}
			var err error
			if params.TimeoutSeconds, err = f.seconds(cmd.Flags()); err != nil {
				return err
			}
			result, err := a.confirmBoot("rollback", args[0], f.confirm, func(confirm string) (api.OperationResult, error) {
				params.Confirm = confirm
				return a.operate(cmd.Context(), "rollback", api.MethodVMRollback, params, f.detach)
			})
			if err != nil {
				return err
			}
			return a.printBooted(result, f.detach)
		},
	}
	f.add(cmd)
	return cmd
}
