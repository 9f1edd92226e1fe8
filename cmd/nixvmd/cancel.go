package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/api"
)

func newCancel(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "cancel ID", Short: "Cancel an operation",
		Long: "Cancel an operation and undo its completed steps. nixvmd operations lists the ids.",
		Args: takes("ID"), ValidArgsFunction: a.completeOperations,
		RunE: func(cmd *cobra.Command, args []string) error {
			var r api.OperationGetResult
			if err := a.ask(cmd.Context(), "cancel", api.MethodOperationCancel, api.OperationParams{ID: args[0]}, &r); err != nil {
				return err
			}
			return a.print(r, func(w io.Writer) {
				if op := r.Operation; op.State != "running" {
					fmt.Fprintf(w, "the %s of %s has ended already: %s\n", op.Kind, op.Subject(), op.State)
				} else {
					fmt.Fprintf(w, "the %s of %s is being cancelled\n", op.Kind, op.Subject())
				}
			})
		},
	}
}
