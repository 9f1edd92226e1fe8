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
machine directory if create made it. With --keep-machine, the directory is kept in
any case, and nixvmd create NAME creates the VM again, with the same settings and
identity.`,
		method: api.MethodVMDestroy,
	}.command(a)
}

// removal is destroy or purge.
type removal struct {
	name, short, long string
	method            string
}

func (r removal) command(a *app) *cobra.Command {
	confirm, detach, keep := "", false, false
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
			again := "nixvmd " + r.name + " " + name
			if keep {
				again += " --keep-machine"
			}
			err = a.confirmed(name, confirm, again, func(w io.Writer) error {
				a.showLoss(ctx, w, r.name, m, "These will be deleted permanently with "+m.Name+":")
				if m.SSHHost != "" {
					fmt.Fprintf(w, "  the SSH names %s and %s\n", m.SSHHost, m.AdminHost)
				}
				goes, note := r.directory(m, keep)
				if goes {
					fmt.Fprintln(w, "  the machine directory with its settings and identity")
				}
				for _, line := range []string{note, poweredOff(m)} {
					if line != "" {
						fmt.Fprintln(w, line)
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
			base := api.ConfirmParams{Work: api.Work{Detach: true}, Name: name, Confirm: name}
			var params any = base
			if r.method == api.MethodVMDestroy {
				params = api.DestroyParams{ConfirmParams: base, KeepMachine: keep}
			}
			result, err := a.operate(ctx, r.name, r.method, params, detach)
			if err != nil {
				return err
			}
			what := name
			if len(result.Operation.Warnings) > 0 { // they say what is left
				what = "the VM " + name
			}
			return a.printOperation(result, detach, func(w io.Writer) {
				if keep {
					fmt.Fprintf(w, "the VM %s is gone, its machine directory is kept; nixvmd create %s creates it again\n", name, name)
					return
				}
				fmt.Fprintf(w, "%s is gone\n", what)
			})
		},
	}
	confirmFlag(cmd, &confirm)
	if r.method == api.MethodVMDestroy {
		cmd.Flags().BoolVar(&keep, "keep-machine", false, "keep the machine directory with its settings and identity")
	}
	detachFlag(cmd, &detach)
	return cmd
}

// directory says whether the machine directory goes, and why, or how not.
func (r removal) directory(m api.Machine, keep bool) (goes bool, note string) {
	switch {
	case r.method == api.MethodVMPurge:
		return true, ""
	case keep:
		return false, "The machine directory with its settings and identity is kept."
	case m.RemovesDirectory:
		return true, "To keep the machine directory: --keep-machine"
	}
	return false, "The machine directory is kept, because create did not make it."
}

// machine asks for one machine.
func (a *app) machine(ctx context.Context, verb, name string) (api.Machine, error) {
	var r api.MachineResult
	err := a.ask(ctx, verb, api.MethodMachineGet, api.MachineParams{Name: name}, &r)
	return r.Machine, err
}

// showLoss lists, below an introduction, what the VM has on its disk.
func (a *app) showLoss(ctx context.Context, w io.Writer, verb string, m api.Machine, introduction string) {
	fmt.Fprintln(w, introduction)
	if m.State != "absent" {
		fmt.Fprintf(w, "  its disk (%s) and all data on it\n", machine.FormatSize(m.DiskBytes))
		var list api.SnapshotListResult
		// A broken VM cannot be asked for its snapshots, nor one that hangs, and is
		// removed all the same.
		ctx, cancel := context.WithTimeout(ctx, asideLimit)
		defer cancel()
		if err := a.ask(ctx, verb, api.MethodSnapshotList, api.MachineParams{Name: m.Name}, &list); err == nil && len(list.Snapshots) > 0 {
			var names []string
			for _, s := range list.Snapshots {
				names = append(names, clean(s.Name))
			}
			fmt.Fprintf(w, "  %d snapshots: %s\n", len(names), strings.Join(names, ", "))
		}
	}
}

// poweredOff warns of the end of a VM that runs; empty for one that does not.
func poweredOff(m api.Machine) string {
	if m.State != "running" && m.State != "suspended" {
		return ""
	}
	return fmt.Sprintf("The VM is %s and will be powered off immediately.", m.State)
}
