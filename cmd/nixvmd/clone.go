package main

import (
	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/names"
)

// cloneFlags are the flags of clone, as typed.
type cloneFlags struct {
	resourceFlags
	snapshot        string
	network, mode   string
	profiles        []string
	noStart, detach bool
}

func newClone(a *app) *cobra.Command {
	var f cloneFlags
	cmd := &cobra.Command{
		Use: "clone SOURCE NEW", Short: "Clone a VM, with a copy of its disk",
		Long: `Create a VM with the settings of another one, its own identity and a copy of the
state disk; boot it and wait until it is ready. SOURCE is not changed. If it is
running, it keeps running: the disk is copied from a snapshot that is taken for it
while the guest is frozen. Snapshots, a static IP address, and address reservations
on the host are not copied.

Profiles and mode are part of the image, which is that of SOURCE: --profiles and
--mode stay pending (see status) until nixvmd upgrade or, if the VM is or becomes
mutable, nixvmd recreate.

Both machines then hold the same data, including credentials and logins.`,
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
	flags.StringVar(&f.snapshot, "snapshot", "", "copy `SNAPSHOT` of SOURCE instead of the current disk")
	f.add(flags, "size of the state disk, `SIZE`; at least that of SOURCE")
	flags.StringVar(&f.network, "network", "", "`NETWORK`: nat or bridge:<interface>")
	flags.StringSliceVar(&f.profiles, "profiles", nil, "comma-separated profiles `A,B`; pending")
	flags.StringVar(&f.mode, "mode", "", "`MODE`: immutable, semi-mutable or mutable; pending")
	flags.BoolVar(&f.noStart, "no-start", false, "create the VM without booting it")
	detachFlag(cmd, &f.detach)
	completeFlags(a, cmd)
	return cmd
}

func (f cloneFlags) params(source, name string) (api.CloneParams, error) {
	p := api.CloneParams{
		Work: api.Work{Detach: true}, Name: source, NewName: name, Snapshot: f.snapshot, NoStart: f.noStart,
		Network: f.network, Profiles: trimmed(f.profiles), Mode: f.mode,
	}
	if err := names.Machine(source); err != nil {
		return p, err
	}
	if err := names.NewMachine(name); err != nil {
		return p, err
	}
	var err error
	p.MemoryMiB, p.VCPUs, p.DiskBytes, err = f.parse()
	return p, err
}
