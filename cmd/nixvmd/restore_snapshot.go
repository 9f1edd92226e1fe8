package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/internal/problem"
)

func newRestoreSnapshot(a *app) *cobra.Command {
	confirm, detach := "", false
	cmd := &cobra.Command{
		Use: "restore-snapshot NAME SNAPSHOT", Short: "Restore the state disk to a snapshot",
		Long: `Restore the state disk of a VM to a snapshot. The current content is saved in a
safety snapshot first, whose name is printed. A running VM is stopped and started
again.`,
		Args: takes("NAME", "SNAPSHOT"), ValidArgsFunction: a.completeSnapshots,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, name, snapshot := cmd.Context(), args[0], args[1]
			s, err := a.findSnapshot(cmd, name, snapshot)
			if err != nil {
				return err
			}
			again := "nixvmd restore-snapshot " + name + " " + snapshot
			err = a.confirmed(name, confirm, again, func(w io.Writer) error {
				fmt.Fprintf(w, "The state disk of %s will be restored to the snapshot %s, taken %s.\n", name, clean(s.Name), s.Created.Local().Format("2006-01-02 15:04:05"))
				fmt.Fprintln(w, "Later changes are removed from the disk; a safety snapshot keeps them.")
				fmt.Fprintln(w, "A running VM is stopped and started again.")
				return nil
			})
			if err != nil {
				return err
			}
			params := api.SnapshotRestoreParams{Work: api.Work{Detach: true}, Name: name, Snapshot: snapshot, Confirm: name}
			result, err := a.operate(ctx, "restore-snapshot", api.MethodSnapshotRestore, params, detach)
			if err != nil {
				return err
			}
			return a.printOperation(result, detach, func(w io.Writer) {
				fmt.Fprintf(w, "%s has been restored to %s\n", name, clean(snapshot))
				if safety := result.Operation.Safety; safety != "" {
					fmt.Fprintf(w, "the previous content is in the snapshot %s\n", clean(safety))
				}
			})
		},
	}
	confirmFlag(cmd, &confirm)
	detachFlag(cmd, &detach)
	return cmd
}

// findSnapshot refuses a missing snapshot before the user is asked to
// confirm anything.
func (a *app) findSnapshot(cmd *cobra.Command, name, snapshot string) (api.Snapshot, error) {
	var list api.SnapshotListResult
	if err := names.Machine(name); err != nil {
		return api.Snapshot{}, err
	}
	if err := a.ask(cmd.Context(), cmd.Name(), api.MethodSnapshotList, api.MachineParams{Name: name}, &list); err != nil {
		return api.Snapshot{}, err
	}
	for _, s := range list.Snapshots {
		if s.Name == snapshot {
			return s, nil
		}
	}
	return api.Snapshot{}, problem.New(problem.SnapshotNotFound, "%s has no snapshot %q", name, snapshot).
		WithHint("nixvmd snapshots %s lists them", name)
}
