package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/api"
)

func newSnapshot(a *app) *cobra.Command {
	description, detach := "", false
	cmd := &cobra.Command{
		Use: "snapshot NAME SNAPSHOT", Short: "Take a snapshot of a VM's state disk",
		Long: `Take a snapshot of a VM's state disk: everything in /var and the home directories.
The file systems of a running VM are frozen briefly, so that the snapshot is
consistent.`,
		Example: "  nixvmd snapshot demo before-refactor",
		Args:    takes("NAME", "SNAPSHOT"), ValidArgsFunction: a.completeFirst(a.completeNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			params := api.SnapshotCreateParams{
				Work: api.Work{Detach: true}, Name: args[0], Snapshot: args[1], Description: description,
			}
			result, err := a.operate(cmd.Context(), "snapshot", api.MethodSnapshotCreate, params, detach)
			if err != nil {
				return err
			}
			return a.printOperation(result, detach, func(w io.Writer) {
				fmt.Fprintf(w, "took snapshot %s of %s; to restore it: nixvmd restore-snapshot %s %s\n", clean(args[1]), args[0], args[0], clean(args[1]))
			})
		},
	}
	cmd.Flags().StringVarP(&description, "description", "m", "", "describe the snapshot with `TEXT`")
	detachFlag(cmd, &detach)
	return cmd
}
