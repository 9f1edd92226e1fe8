package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/machine"
)

func newDestroy(a *app) *cobra.Command {
	return removal{
		name: "destroy", short: "Remove a VM with its disks and snapshots",
		long: `Undo create: power the VM off, delete its disks, snapshots and SSH name, and the
machine directory if create made it.`,
		method: api.MethodVMDestroy,
		more:   "its settings and identity, unless the machine directory existed before create",
	}.command(a)
}

// removal is destroy or purge.
type removal struct {
	name, short, long string
	method            string
	more              string // what goes besides the VM
}

func (r removal) command(a *app) *cobra.Command {
	confirm, detach := "", false
	cmd := &cobra.Command{
		Use: r.name + " NAME", Short: r.short, Long: r.long,
		Args: takes("NAME"), ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, name := cmd.Context(), args[0]
			if err := names.Machine(name); err != nil {
				return err
			}
			// What is not there needs no confirmation to be refused.
			m, err := a.machine(ctx, r.name, name)
			if err != nil {
				return err
			}
			err = a.confirmed(name, confirm, "nixvmd "+r.name+" "+name, func(w io.Writer) error { return a.showLoss(ctx, w, r, m) })
			if err != nil {
				return err
			}
			params := api.ConfirmParams{Work: api.Work{Detach: true}, Name: name, Confirm: name}
			result, err := a.operate(ctx, r.name, r.method, params, detach)
			if err != nil {
				return err
			}
			what := name
			if len(result.Operation.Warnings) > 0 { // they say what is left
				what = "the VM " + name
			}
			return a.printOperation(result, detach, func(w io.Writer) { fmt.Fprintf(w, "%s is gone\n", what) })
		},
	}
	confirmFlag(cmd, &confirm)
	detachFlag(cmd, &detach)
	return cmd
}

// machine asks for one machine.
func (a *app) machine(ctx context.Context, verb, name string) (api.Machine, error) {
	var r api.MachineResult
	err := a.ask(ctx, verb, api.MethodMachineGet, api.MachineParams{Name: name}, &r)
	return r.Machine, err
}

// showLoss says what will not be there any more.
func (a *app) showLoss(ctx context.Context, w io.Writer, r removal, m api.Machine) error {
	fmt.Fprintf(w, "These will be deleted permanently with %s:\n", m.Name)
	if m.State != "absent" {
		fmt.Fprintf(w, "  its disk (%s) and all data on it\n", machine.FormatSize(m.DiskBytes))
		var list api.SnapshotListResult
		// A broken VM cannot be asked for its snapshots, nor one that hangs, and is
		// removed all the same.
		ctx, cancel := context.WithTimeout(ctx, asideLimit)
		defer cancel()
		if err := a.ask(ctx, r.name, api.MethodSnapshotList, api.MachineParams{Name: m.Name}, &list); err == nil && len(list.Snapshots) > 0 {
			var names []string
			for _, s := range list.Snapshots {
				names = append(names, clean(s.Name))
			}
			fmt.Fprintf(w, "  %d snapshots: %s\n", len(names), strings.Join(names, ", "))
		}
	}
	if m.SSHHost != "" {
		fmt.Fprintf(w, "  the SSH names %s and %s\n", m.SSHHost, m.AdminHost)
	}
	fmt.Fprintf(w, "  %s\n", r.more)
	if m.State == "running" || m.State == "suspended" {
		fmt.Fprintf(w, "The VM is %s and will be powered off immediately.\n", m.State)
	}
	return nil
}
