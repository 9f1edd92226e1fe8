package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/api"
)

func newDeleteSnapshot(a *app) *cobra.Command {
	confirm, detach := "", false
	cmd := &cobra.Command{
		Use: "delete-snapshot NAME SNAPSHOT", Short: "Delete one snapshot",
		Long: `Delete one snapshot of a VM. The current disk and the other snapshots are kept.
On a terminal, you are prompted for the machine's name. Scripts need no --confirm,
because the command line names exactly what is deleted.`,
		Args: takes("NAME", "SNAPSHOT"), ValidArgsFunction: a.completeSnapshots,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, name, snapshot := cmd.Context(), args[0], args[1]
			s, err := a.findSnapshot(cmd, name, snapshot)
			if err != nil {
				return err
			}
			if confirm != "" || a.interactive() {
				err := a.confirmed(name, confirm, "nixvmd delete-snapshot "+name+" "+snapshot, func(w io.Writer) error {
					fmt.Fprintf(w, "The snapshot %s of %s, taken %s, will be deleted permanently.\n", clean(s.Name), name, s.Created.Local().Format("2006-01-02 15:04:05"))
					return nil
				})
				if err != nil {
					return err
				}
			}
			params := api.SnapshotDeleteParams{Work: api.Work{Detach: true}, Name: name, Snapshot: snapshot}
			result, err := a.operate(ctx, "delete-snapshot", api.MethodSnapshotDelete, params, detach)
			if err != nil {
				return err
			}
			return a.printOperation(result, detach, func(w io.Writer) {
				fmt.Fprintf(w, "snapshot %s of %s is deleted\n", clean(snapshot), name)
			})
		},
	}
	confirmFlag(cmd, &confirm)
	detachFlag(cmd, &detach)
	return cmd
}
