package main

import (
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/names"
)

func newRecreate(a *app) *cobra.Command {
	confirm, discard, detach := "", false, false
	cmd := &cobra.Command{
		Use: "recreate NAME", Short: "Replace a VM with a new one, with empty disks; the machine is kept",
		Long: `Replace a VM with a new one, with empty disks and the current image for its profiles
and mode. The machine directory, identity, host key and SSH names are kept. This
applies a changed mode, and is the only way to give a mutable VM another image.

The former disks and snapshots are set aside until nixvmd image gc removes them, or
deleted at the end with --discard. If anything fails before the new VM is ready, the
former VM is restored.`,
		Args: takes("NAME"), ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, name := cmd.Context(), args[0]
			if err := names.Machine(name); err != nil {
				return err
			}
			m, err := a.machine(ctx, "recreate", name)
			if err != nil {
				return err
			}
			again := "nixvmd recreate " + name
			if discard {
				again += " --discard"
			}
			err = a.confirmed(name, confirm, again, func(w io.Writer) error {
				a.showLoss(ctx, w, "recreate", m, leaves(m, discard))
				for _, line := range recreated(m) {
					fmt.Fprintln(w, line)
				}
				return nil
			})
			if err != nil {
				return err
			}
			params := api.RecreateParams{ConfirmParams: api.ConfirmParams{Work: api.Work{Detach: true}, Name: name, Confirm: name}, Discard: discard}
			result, err := a.operate(ctx, "recreate", api.MethodVMRecreate, params, detach)
			if err != nil {
				return err
			}
			return a.printOperation(result, detach, func(w io.Writer) { fmt.Fprintf(w, "%s has been recreated\n", name) })
		},
	}
	confirmFlag(cmd, &confirm)
	cmd.Flags().BoolVar(&discard, "discard", false, "delete the former disks and snapshots at the end, instead of keeping them until image gc")
	detachFlag(cmd, &detach)
	return cmd
}

// leaves introduces what a VM loses when it is recreated.
func leaves(m api.Machine, discard bool) string {
	if discard {
		return "These will be deleted permanently:"
	}
	return fmt.Sprintf("%s will be left without these, which are kept until nixvmd image gc:", m.Name)
}

// recreated says what becomes of the rest.
func recreated(m api.Machine) []string {
	lines := []string{"Its settings, identity, host key and SSH names are kept."}
	if slices.Contains(m.Pending, "mode") {
		lines = append(lines, fmt.Sprintf("The VM, which is %s, becomes %s.", m.VMMode, m.Mode))
	}
	if m.State == "running" {
		lines = append(lines, "The VM is shut down, and started again with empty disks.")
	}
	return lines
}
