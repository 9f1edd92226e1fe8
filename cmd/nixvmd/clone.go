package main

import (
	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/machine"
)

// cloneFlags are the flags of clone, as typed.
type cloneFlags struct {
	resourceFlags
	snapshot        string
	noStart, detach bool
}

func newClone(a *app) *cobra.Command {
	var f cloneFlags
	cmd := &cobra.Command{
		Use: "clone SOURCE NEW", Short: "Make a VM like another one, with a copy of its disk",
		Long: `Make a VM with the settings of another one, an identity of its own and a copy
of its state disk, boot it and wait until it answers. SOURCE must be off, and
stays as it is. Its snapshots are not copied, nor are a static address and what
is reserved for it on a host.

What lies on the disk is in both: credentials and logins of services too.`,
		Example: `  nixvmd clone demo demo2
  nixvmd clone demo demo2 --snapshot before-refactor --memory 8G`,
		Args: takes("SOURCE", "NEW"), ValidArgsFunction: a.completeFirst(a.completeNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			params, err := f.params(args[0], args[1])
			if err != nil {
				return err
			}
			result, err := a.operate(cmd.Context(), "clone", api.MethodVMClone, params, f.detach)
			if err != nil {
				return err
			}
			return a.printMade(result, params.NewName, f.detach)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.snapshot, "snapshot", "", "copy this `SNAPSHOT` of SOURCE instead of its disk as it is now")
	f.add(flags, "`SIZE` of the state disk; it can only be larger")
	flags.BoolVar(&f.noStart, "no-start", false, "make it, do not boot it")
	detachFlag(cmd, &f.detach)
	completeFlags(a, cmd)
	return cmd
}

func (f cloneFlags) params(source, name string) (api.CloneParams, error) {
	p := api.CloneParams{Work: api.Work{Detach: true}, Name: source, NewName: name, Snapshot: f.snapshot, NoStart: f.noStart}
	if err := machine.ValidName(source); err != nil {
		return p, err
	}
	if err := machine.NewName(name); err != nil {
		return p, err
	}
	var err error
	p.MemoryMiB, p.VCPUs, p.DiskBytes, err = f.parse()
	return p, err
}
