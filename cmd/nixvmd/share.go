package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/api"
)

func newShare(a *app) *cobra.Command {
	var files []string
	cmd := &cobra.Command{
		Use: "share NAME", Short: "Let another computer reach a VM on a bridge",
		Long: `Authorize the SSH key of another computer of yours, and print what its ssh needs to
reach the VM: Host blocks for ~/.ssh/config, and the line for ~/.ssh/known_hosts
that pins the VM's host key. The VM must be on a bridge. Without --key only the
lines are printed.`,
		Example: `  nixvmd share demo --key desktop.pub
  git clone demo:project                   then, on the desktop`,
		Args: takes("NAME"), ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			keys, err := readKeys("--key", files)
			if err != nil {
				return err
			}
			var r api.ShareResult
			if err := a.ask(cmd.Context(), "share", api.MethodSSHShare, api.ShareParams{Name: args[0], Keys: keys}, &r); err != nil {
				return err
			}
			if id := r.Machine.Operation; id != "" {
				now := api.MachineResult{Machine: r.Machine}
				if err := a.followApply(cmd.Context(), id, &now); err != nil {
					return err
				}
				r.Machine = now.Machine
			}
			if len(keys) > 0 && len(r.Machine.NextStart) > 0 {
				a.note("pending until the next start of %s: %s", args[0], strings.Join(r.Machine.NextStart, ", "))
			}
			if r.Warning != "" {
				a.warn(r.Warning)
			}
			return a.print(r, func(w io.Writer) {
				fmt.Fprintf(w, "# for ~/.ssh/config of the other computer\n%s\n# for its ~/.ssh/known_hosts\n%s\n", r.Config, strings.TrimSpace(r.KnownHost))
			})
		},
	}
	cmd.Flags().StringArrayVar(&files, "key", nil, "authorize the SSH public keys in `FILE`; may be repeated")
	return cmd
}
