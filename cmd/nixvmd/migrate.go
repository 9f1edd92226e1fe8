package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

func newMigrate(a *app) *cobra.Command {
	to, node, detach := "", "", false
	cmd := &cobra.Command{
		Use: "migrate NAME --to BACKEND | --node NODE", Short: "Move a VM to another host that shares its storage",
		Long: `Move a VM to another backend, running (without stopping it) or stopped. Both
backends must have the same type, on hosts that share the VM's storage; see
docs/libvirt.md. The VM keeps its SSH name, disks and snapshots; open connections
to it are closed.

With --node, move it to another node of its backend, if the backend has nodes.
Connections to it stay open.

If the migration is cancelled, the VM stays where it is.`,
		Args: takes("NAME"), ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case to == "" && node == "":
				return problem.New(problem.BadParams, "--to is missing").WithHint("nixvmd migrate %s --to BACKEND; the backends are in config.toml", args[0])
			case to != "" && node != "":
				return problem.New(problem.BadParams, "--to and --node are both given").WithHint("a VM moves either to another backend or to another node of its own")
			}
			params := api.MigrateParams{Work: api.Work{Detach: true}, Name: args[0], Backend: to, Node: node}
			result, err := a.operate(cmd.Context(), "migrate", api.MethodVMMigrate, params, detach)
			if err != nil {
				return err
			}
			return a.printOperation(result, detach, func(w io.Writer) { fmt.Fprintf(w, "%s is on %s\n", args[0], cmp.Or(to, node)) })
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "the destination `BACKEND`")
	cmd.Flags().StringVar(&node, "node", "", "the destination `NODE` of the VM's backend")
	for flag, complete := range map[string]cobra.CompletionFunc{"to": a.completeTargets, "node": a.completeNodes} {
		_ = cmd.RegisterFlagCompletionFunc(flag, complete) // fails for a flag that is not there
	}
	detachFlag(cmd, &detach)
	return cmd
}

// completeNodes offers the nodes of the VM's backend.
func (a *app) completeNodes(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	var r api.NodeListResult
	if !a.lookup(cmd, api.MethodBackendNodes, api.NodeListParams{Backend: a.backendOf(cmd, args)}, &r) {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var words []string
	for _, n := range r.Nodes {
		if n.Online {
			words = append(words, clean(n.Name))
		}
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}

// completeTargets offers the backends that a VM can move to, without the one
// where it is.
func (a *app) completeTargets(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	var r api.BackendListResult
	if !a.lookup(cmd, api.MethodBackendList, api.NoParams{}, &r) {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var machines api.MachineListResult
	here := ""
	if len(args) > 0 && a.lookup(cmd, api.MethodMachineList, api.NoParams{}, &machines) {
		if at := slices.IndexFunc(machines.Machines, func(m api.Machine) bool { return m.Name == args[0] }); at >= 0 {
			here = machines.Machines[at].Backend
		}
	}
	var words []string
	for _, b := range r.Backends {
		if b.Capabilities.Migrate && b.Name != here {
			words = append(words, cobra.CompletionWithDesc(b.Name, b.Type))
		}
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}
