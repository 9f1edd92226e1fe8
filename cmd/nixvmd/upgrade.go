package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

// bootFlags are the flags of upgrade and rollback.
type bootFlags struct {
	confirm               string
	timeout               time.Duration
	allowDegraded, detach bool
}

func (f *bootFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.DurationVar(&f.timeout, "timeout", 0, "how long the guest may take to boot, and its services to start, e.g. `5m`")
	flags.BoolVar(&f.allowDegraded, "allow-degraded", false, "keep the image even if services fail that did not fail before")
	confirmFlag(cmd, &f.confirm)
	flags.Lookup("confirm").Usage = "confirm by repeating the machine's `NAME`; required without a terminal for a semi-mutable machine"
	detachFlag(cmd, &f.detach)
}

// seconds is the time limit of a request; nil = the daemon's.
func (f *bootFlags) seconds(flags *pflag.FlagSet) (*int, error) {
	if !flags.Changed("timeout") {
		return nil, nil
	}
	n := int(f.timeout.Round(time.Second) / time.Second)
	if n < 1 {
		return nil, problem.New(problem.BadParams, "--timeout: %s is less than a second", f.timeout).WithHint("write a time such as 90s or 5m")
	}
	return &n, nil
}

func newUpgrade(a *app) *cobra.Command {
	var f bootFlags
	image, all, keepGoing, dryRun := "", false, false, false
	cmd := &cobra.Command{
		Use: "upgrade NAME | --all", Short: "Upgrade a VM to the current image; its data is kept",
		Long: `Build the current image for a machine's profiles, mode and kind of image, and boot
its VM from it. This is how changed profiles and newer packages reach an immutable
or semi-mutable VM. The data in /var and /home and the snapshots are not changed.

A running VM is shut down, booted and checked: sshd must answer with the pinned
key, the identity and the disks must be in place, and no service may fail that did
not fail before. Otherwise the VM returns to its previous image. A stopped VM
boots the image at its next start, and is not checked.

Previous images are kept as generations: see nixvmd generations and rollback.

With --all, all VMs that can be upgraded are upgraded one after another, in order
of their names, until one fails.`,
		Example: `  nixvmd configure demo --profiles claude,dev,docker
  nixvmd upgrade demo
  nixvmd upgrade --all --keep-going`,
		Args: takes("[NAME]"), ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkAll(all, keepGoing, image, f, args); err != nil {
				return err
			}
			if all && dryRun {
				return problem.New(problem.BadParams, "--all and --dry-run exclude each other").WithHint("nixvmd list marks the VMs that are outdated")
			}
			if all {
				return a.upgradeAll(cmd, f, keepGoing)
			}
			params := api.UpgradeParams{Work: api.Work{Detach: true}, Name: args[0], AllowDegraded: f.allowDegraded}
			var err error
			if params.Image, err = imagePath(image); err != nil {
				return err
			}
			if dryRun {
				return a.previewUpgrade(cmd.Context(), args[0], params.Image)
			}
			if params.TimeoutSeconds, err = f.seconds(cmd.Flags()); err != nil {
				return err
			}
			result, err := a.confirmBoot("upgrade", args[0], f.confirm, func(confirm string) (api.OperationResult, error) {
				params.Confirm = confirm
				return a.operate(cmd.Context(), "upgrade", api.MethodVMUpgrade, params, f.detach)
			})
			if err != nil {
				return err
			}
			return a.printBooted(result, f.detach)
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "upgrade every immutable and semi-mutable VM; for the latter, --confirm all")
	cmd.Flags().BoolVar(&keepGoing, "keep-going", false, "with --all, continue after a failure")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "print what the upgrade would do, and change nothing")
	cmd.Flags().StringVar(&image, "image", "", "use this `IMAGE` from now on: nixos, trial, a file or a URL, as for create")
	completeFlags(a, cmd)
	return cmd
}

// confirmBoot calls run with the confirmation that was given, and, if the daemon then wants
// one, again with the one that it asks for: everything else about the request is right.
func (a *app) confirmBoot(verb, name, given string, run func(confirm string) (api.OperationResult, error)) (api.OperationResult, error) {
	result, err := run(given)
	if !problem.HasCode(err, problem.ConfirmRequired) {
		return result, err
	}
	err = a.confirmed(name, given, "nixvmd "+verb+" "+name, func(w io.Writer) error {
		fmt.Fprintf(w, "%s is semi-mutable: what was installed into its /nix is removed at the next boot if the\n", name)
		fmt.Fprintln(w, "new image has another Nix store. /var, /home and the snapshots are not changed.")
		return nil
	})
	if err != nil {
		return result, err
	}
	return run(name)
}

// printBooted says which image a VM has now.
func (a *app) printBooted(result api.OperationResult, detach bool) error {
	return a.printOperation(result, detach, func(w io.Writer) {
		op := result.Operation
		fmt.Fprintf(w, "%s is at generation %d, image %s\n", op.Machine, op.Generation, clean(op.Image))
	})
}
