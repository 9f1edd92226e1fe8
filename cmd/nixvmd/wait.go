package main

import (
	"context"
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
			result, err := a.follow(cmd.Context(), "wait", args[0], false)
			if err != nil {
				return err
			}
			return a.print(result, func(w io.Writer) {
				fmt.Fprintf(w, "%s of %s: %s\n", result.Operation.Kind, result.Operation.Subject(), result.Operation.State)
			})
		},
	}
}

// follow waits for an operation that was begun elsewhere, and shows its progress. With
// cancels, a signal cancels it; otherwise it only ends the waiting.
func (a *app) follow(ctx context.Context, verb, id string, cancels bool) (api.OperationResult, error) {
	feed := make(chan event, 64)
	d, err := a.connect(ctx, verb, feed)
	if err != nil {
		return api.OperationResult{}, err
	}
	defer d.Close()
	var now api.OperationGetResult
	if err := d.Call(ctx, api.MethodOperationGet, api.OperationParams{ID: id}, &now); err != nil {
		return api.OperationResult{}, err
	}
	ends := watchSignals(a.inTTY || a.errTTY)
	defer ends.stop()
	f := follower{app: a, verb: verb, op: now.Operation, view: a.newView(now.Operation), ends: ends, cancels: cancels}
	return f.toTheEnd(ctx, d, feed)
}
