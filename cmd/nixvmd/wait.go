package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/api"
)

func newWait(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "wait ID", Short: "Follow an operation until it ends",
		Long: `Follow an operation, started by any client, until it ends; the exit code is that
of the operation. nixvmd operations lists the ids. C-c stops following it; nixvmd
cancel cancels it.`,
		Args: takes("ID"), ValidArgsFunction: a.completeOperations,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, feed := cmd.Context(), make(chan event, 64)
			d, err := a.connect(ctx, "wait", feed)
			if err != nil {
				return err
			}
			defer d.Close()
			var now api.OperationGetResult
			if err := d.Call(ctx, api.MethodOperationGet, api.OperationParams{ID: args[0]}, &now); err != nil {
				return err
			}
			ends := watchSignals(a.inTTY || a.errTTY)
			defer ends.stop()
			f := follower{app: a, verb: "wait", op: now.Operation, view: a.newView(now.Operation), ends: ends}
			result, err := f.toTheEnd(ctx, d, feed)
			if err != nil {
				return err
			}
			return a.print(result, func(w io.Writer) {
				fmt.Fprintf(w, "%s of %s: %s\n", result.Operation.Kind, result.Operation.Subject(), result.Operation.State)
			})
		},
	}
}
