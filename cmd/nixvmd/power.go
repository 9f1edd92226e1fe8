package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/api"
)

// powerVerb is a verb that takes a name, begins an operation without further
// parameters, and says in one sentence what came of it. The verbs themselves are
// in the files named after them.
type powerVerb struct {
	name, short, long string
	method            string
	done              string // with %s for the name
}

func (v powerVerb) command(a *app) *cobra.Command {
	detach := false
	cmd := &cobra.Command{
		Use: v.name + " NAME", Short: v.short, Long: v.long,
		Args: takes("NAME"), ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			params := api.VMParams{Work: api.Work{Detach: true}, Name: args[0]}
			result, err := a.operate(cmd.Context(), v.name, v.method, params, detach)
			if err != nil {
				return err
			}
			return a.printOperation(result, detach, func(w io.Writer) { fmt.Fprintf(w, v.done+"\n", args[0]) })
		},
	}
	detachFlag(cmd, &detach)
	return cmd
}
