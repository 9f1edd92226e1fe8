package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/api"
)

func newSnapshots(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "snapshots NAME", Short: "List the snapshots of a VM, oldest first",
		Args: takes("NAME"), ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			var r api.SnapshotListResult
			err := a.ask(cmd.Context(), "snapshots", api.MethodSnapshotList, api.MachineParams{Name: args[0]}, &r)
			if err != nil {
				return err
			}
			if len(r.Snapshots) == 0 {
				a.note("%s has no snapshots; take one with nixvmd snapshot %s SNAPSHOT", args[0], args[0])
			}
			if r.Warning != "" {
				a.warn(r.Warning)
			}
			return a.print(r, func(w io.Writer) {
				if len(r.Snapshots) > 0 {
					snapshotTable(w, r.Snapshots)
				}
			})
		},
	}
}

func snapshotTable(w io.Writer, list []api.Snapshot) {
	rows := make([][]string, 0, len(list))
	for _, s := range list {
		frozen := "yes"
		if !s.Frozen {
			frozen = "no"
		}
		rows = append(rows, []string{s.Name, s.Created.Local().Format("2006-01-02 15:04:05"), frozen, s.Description})
	}
	table(w, []string{"SNAPSHOT", "TAKEN", "CONSISTENT", "DESCRIPTION"}, rows)
}
