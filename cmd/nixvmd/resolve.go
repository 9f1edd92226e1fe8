package main

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

// resolution is a verb that makes one of the choices of an unresolved operation.
type resolution struct {
	action      api.Action
	short, long string
	done        string // with %s for the kind and the subject of the operation
}

// newResolutions are operations resume, undo and forget.
func newResolutions(a *app) []*cobra.Command {
	list := []resolution{
		{
			action: api.ActionResume, short: "Resume an unresolved operation",
			long: `Go on with an unresolved operation where it stopped: what is done stays, the
step that failed and those after it are done.`,
			done: "the %s of %s has been completed",
		},
		{
			action: api.ActionUndo, short: "Undo what is left of an unresolved operation",
			long: `Take back what an unresolved operation has left, now that the reason why that
failed is gone. nixvmd operations says what it would remove. Where data would be
lost, the machine's name must be repeated.`,
			done: "the %s of %s has been undone",
		},
		{
			action: api.ActionForget, short: "Forget an unresolved operation and leave everything as it is",
			long: `Leave everything as an unresolved operation has left it, and do not ask again.
nixvmd destroy removes a VM with all that belongs to it.`,
			done: "the %s of %s is forgotten",
		},
	}
	commands := make([]*cobra.Command, 0, len(list))
	for _, r := range list {
		commands = append(commands, r.command(a))
	}
	return commands
}

func (r resolution) command(a *app) *cobra.Command {
	confirm, detach := "", false
	cmd := &cobra.Command{
		Use: string(r.action) + " ID", Short: r.short, Long: r.long,
		Args: takes("ID"), ValidArgsFunction: a.completeUnresolved,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.resolve(cmd.Context(), r, args[0], confirm, detach)
		},
	}
	if r.action != api.ActionForget {
		detachFlag(cmd, &detach)
	}
	if r.action == api.ActionUndo {
		confirmFlag(cmd, &confirm)
	}
	return cmd
}

func (a *app) resolve(ctx context.Context, r resolution, id, confirm string, detach bool) error {
	var now api.OperationGetResult
	if err := a.ask(ctx, "operations", api.MethodOperationGet, api.OperationParams{ID: id}, &now); err != nil {
		return err
	}
	op := now.Operation
	at := slices.IndexFunc(op.Choices, func(c api.Choice) bool { return c.Action == r.action })
	if at < 0 {
		return problem.New(problem.OperationResolved, "the %s of %s is not unresolved: it is %s", op.Kind, op.Subject(), op.State).
			WithHint("nixvmd operations lists the unresolved operations, and the choices for each")
	}
	params := api.ResolveParams{ID: id, Action: r.action}
	if op.Choices[at].Confirm {
		err := a.confirmed(op.Machine, confirm, fmt.Sprintf("nixvmd operations %s %s", r.action, id), func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "It %s.\n", clean(op.Choices[at].Effect))
			return err
		})
		if err != nil {
			return err
		}
		params.Confirm = op.Machine
	}
	var result api.OperationResult
	var err error
	if r.action == api.ActionForget {
		err = a.ask(ctx, "operations", api.MethodOperationResolve, params, &result)
	} else {
		params.Detach = true
		result, err = a.operate(ctx, "operations "+string(r.action), api.MethodOperationResolve, params, detach)
	}
	if err != nil {
		return err
	}
	return a.printOperation(result, detach, func(w io.Writer) { fmt.Fprintf(w, r.done+"\n", op.Kind, op.Subject()) })
}
