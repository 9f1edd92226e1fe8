package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/api"
)

func newOperations(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "operations", Aliases: []string{"ops"}, Short: "List running, unresolved and recent operations", Args: takes(),
		Long: `List running, unresolved and recently ended operations.

An operation is unresolved if it failed and could not be undone completely. It is
then left alone, because you may want to keep what an undo would remove: resume,
undo or forget it. It is resolved automatically when another operation makes it
irrelevant, for example when its machine is destroyed.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var r api.OperationListResult
			if err := a.ask(cmd.Context(), "operations", api.MethodOperationList, api.NoParams{}, &r); err != nil {
				return err
			}
			if len(r.Operations) == 0 {
				a.note("no operations since the daemon was started")
			}
			return a.print(r, func(w io.Writer) {
				if len(r.Operations) > 0 {
					operationTable(w, r.Operations, time.Now())
					unresolvedText(w, r.Operations)
				}
			})
		},
	}
	cmd.AddCommand(newResolutions(a)...)
	return cmd
}

// unresolvedText says beneath the table what can be done about the operations that
// wait for a choice.
func unresolvedText(w io.Writer, list []api.Operation) {
	for _, op := range list {
		if len(op.Choices) == 0 {
			continue
		}
		fmt.Fprintf(w, "\nThe %s of %s needs a decision:\n", op.Kind, op.Subject())
		for _, c := range op.Choices {
			fmt.Fprintf(w, "  nixvmd operations %s %s\n      %s\n", c.Action, op.ID, clean(c.Effect))
		}
	}
}

func operationTable(w io.Writer, list []api.Operation, now time.Time) {
	rows := make([][]string, 0, len(list))
	for _, op := range list {
		state, ended, message := string(op.State), op.Ended, op.Message
		if op.State == api.OpRunning && op.Percent != nil {
			state = fmt.Sprintf("running %d%%", *op.Percent)
		}
		if ended.IsZero() {
			ended = now
		}
		if op.Problem != nil {
			message = op.Problem.Message
		}
		rows = append(rows, []string{
			op.ID, string(op.Kind), op.Subject(), state, op.Started.Local().Format("15:04:05"), shortDuration(ended.Sub(op.Started)), op.Client, message,
		})
	}
	table(w, []string{"ID", "KIND", "SUBJECT", "STATE", "STARTED", "TOOK", "CLIENT", "MESSAGE"}, rows)
}
