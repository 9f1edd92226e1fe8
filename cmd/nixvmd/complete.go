package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/nixbuild"
)

// completionLimit bounds what a TAB may cost when the daemon hangs; it answers
// within a millisecond, but on a busy machine it has to get its turn.
const completionLimit = 2 * time.Second

type completer = func(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective)

// lookup asks a daemon that runs; without one there is nothing to offer.
func (a *app) lookup(cmd *cobra.Command, method string, params, result any) bool {
	home, err := cmd.Flags().GetString("home")
	if err != nil || a.prepare(home) != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), completionLimit)
	defer cancel()
	d, err := a.connectRunning(ctx, "completion")
	if err != nil {
		return false
	}
	defer d.Close()
	return d.Call(ctx, method, params, result) == nil
}

// completeNames offers machines for the first argument.
func (a *app) completeNames(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	var r api.MachineListResult
	if len(args) > 0 || !a.lookup(cmd, api.MethodMachineList, api.NoParams{}, &r) {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var words []string
	for _, m := range r.Machines {
		words = append(words, cobra.CompletionWithDesc(m.Name, phaseWord(m)))
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}

// completeSnapshots offers machines, then the snapshots of the one named.
func (a *app) completeSnapshots(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return a.completeNames(cmd, args, toComplete)
	}
	var r api.SnapshotListResult
	if len(args) > 1 || !a.lookup(cmd, api.MethodSnapshotList, api.MachineParams{Name: args[0]}, &r) {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var words []string
	for _, s := range r.Snapshots {
		words = append(words, cobra.CompletionWithDesc(clean(s.Name), clean(s.Description)))
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}

// completeSnapshotsOf offers the snapshots of the first argument.
func (a *app) completeSnapshotsOf(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.completeSnapshots(cmd, args[:1], toComplete)
}

// completeOperations offers the operations that run.
func (a *app) completeOperations(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return a.operationsIn(cmd, args, api.OpRunning)
}

// completeUnresolved offers the operations that wait for a choice.
func (a *app) completeUnresolved(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return a.operationsIn(cmd, args, api.OpUnresolved)
}

func (a *app) operationsIn(cmd *cobra.Command, args []string, state api.OperationState) ([]string, cobra.ShellCompDirective) {
	var r api.OperationListResult
	if len(args) > 0 || !a.lookup(cmd, api.MethodOperationList, api.NoParams{}, &r) {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var words []string
	for _, op := range r.Operations {
		if op.State == state {
			words = append(words, cobra.CompletionWithDesc(op.ID, string(op.Kind)+" "+op.Subject()))
		}
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}

// completeFirst completes the first argument and offers nothing, not even
// files, for the others.
func (a *app) completeFirst(first completer) completer {
	return func(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return first(cmd, args, toComplete)
	}
}

func fixedWords(words ...string) completer {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeFlags completes the values of those flags of create, clone and
// configure that the command has.
func completeFlags(a *app, cmd *cobra.Command) {
	for flag, complete := range map[string]completer{
		"profiles": a.completeProfiles,
		"mode":     fixedWords(nixbuild.Modes()...),
		"network":  a.completeNetworks,
		"pci":      a.completePCI,
		"image": func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"trial", "nixos"}, cobra.ShellCompDirectiveDefault // or a file
		},
		"backend":  a.completeBackends,
		"snapshot": a.completeSnapshotsOf,
	} {
		if cmd.Flags().Lookup(flag) != nil {
			_ = cmd.RegisterFlagCompletionFunc(flag, complete) // fails for a flag that is not there
		}
	}
}

// completeProfiles completes the last word of a comma-separated list.
func (a *app) completeProfiles(cmd *cobra.Command, _ []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	var r api.ProfileListResult
	if !a.lookup(cmd, api.MethodProfileList, api.NoParams{}, &r) {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	before := toComplete[:strings.LastIndexByte(toComplete, ',')+1]
	given := strings.Split(before, ",")
	var words []string
	for _, p := range r.Profiles {
		if p.Name != nixbuild.Core && !slices.Contains(given, p.Name) {
			words = append(words, cobra.CompletionWithDesc(before+p.Name, p.Description))
		}
	}
	return words, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

func (a *app) completeBackends(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	var r api.BackendListResult
	if !a.lookup(cmd, api.MethodBackendList, api.NoParams{}, &r) {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var words []string
	for _, b := range r.Backends {
		words = append(words, cobra.CompletionWithDesc(b.Name, b.Type))
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}
