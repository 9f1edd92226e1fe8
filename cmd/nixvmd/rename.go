package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/names"
)

func newRename(a *app) *cobra.Command {
	confirm, detach := "", false
	cmd := &cobra.Command{
		Use: "rename NAME NEW", Short: "Give a machine another name",
		Long: `Give a machine another name: the machine directory, the VM with its disks and
snapshots, and the SSH names. The host name of the guest changes too, unless it was
set to something other than NAME. Existing backups keep the former name.

A running VM is shut down, and started again under its new name, after a confirmation
(--confirm). If anything fails before it has the new name, it gets the former one back.`,
		Example: `  nixvmd rename demo parser`,
		Args:    takes("NAME", "NEW"), ValidArgsFunction: a.completeFirst(a.completeNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, params := cmd.Context(), api.RenameParams{Work: api.Work{Detach: true}, Name: args[0], NewName: args[1], Confirm: confirm}
			if err := names.Machine(params.Name); err != nil {
				return err
			}
			if err := names.NewMachine(params.NewName); err != nil {
				return err
			}
			m, err := a.machine(ctx, "rename", params.Name)
			if err != nil {
				return err
			}
			// Without a terminal, the daemon's refusal says more.
			if m.State == api.StateRunning && (confirm != "" || a.interactive()) {
				again := fmt.Sprintf("nixvmd rename %s %s", params.Name, params.NewName)
				err := a.confirmed(params.Name, confirm, again, func(w io.Writer) error {
					_, err := fmt.Fprintf(w, "%s is running. It is shut down, and started again as %s; SSH connections end.\n", params.Name, params.NewName)
					return err
				})
				if err != nil {
					return err
				}
				params.Confirm = params.Name
			}
			result, err := a.operate(ctx, "rename", api.MethodVMRename, params, detach)
			if err != nil {
				return err
			}
			return a.printOperation(result, detach, func(w io.Writer) {
				fmt.Fprintf(w, "%s is now %s", params.Name, params.NewName)
				if m := result.VM; m != nil && m.SSHHost != "" {
					fmt.Fprintf(w, ": ssh %s", m.SSHHost)
				}
				fmt.Fprintln(w)
			})
		},
	}
	confirmFlag(cmd, &confirm)
	detachFlag(cmd, &detach)
	return cmd
}
