package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/internal/problem"
)

// adoptFlags are the flags of adopt, as typed.
type adoptFlags struct {
	as, backend, image   string
	all, noStart, detach bool
}

func newAdopt(a *app) *cobra.Command {
	var f adoptFlags
	cmd := &cobra.Command{
		Use: "adopt DIR [NAME...]", Short: "Take over VMs of nixos-vm-template",
		Long: `List the machines of nixos-vm-template in DIR, a checkout of it or its directory in
~/.config, and what its .env file means as part of config.toml. Nothing is changed.

With NAME, or --all, take machines over: each becomes a machine of nixvm with the same
settings and the same identity, and a VM with a copy of the state disk. The disk is
copied, not moved: the old VM stays as it is, and must be shut down before. --all takes
over those that the list has without a problem, and stops at the first failure.`,
		Example: `  nixvmd adopt ~/nixos-vm-template
  nixvmd adopt ~/nixos-vm-template claude-dev
  nixvmd adopt ~/.config/nixos-vm-template libvirt/laptop/claude-dev --as claude2`,
		Args: func(cmd *cobra.Command, args []string) error { return takes("DIR")(cmd, args[:min(1, len(args))]) },
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return a.completeAdoptable(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.adopt(cmd.Context(), args[0], args[1:], f) },
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.all, "all", false, "take over all that can be")
	flags.StringVar(&f.as, "as", "", "give the machine the name `NEW`, and an identity of its own")
	flags.StringVar(&f.backend, "backend", "", "create the VM on `BACKEND`")
	flags.StringVar(&f.image, "image", "", "`IMAGE`: nixos, trial, a file or URL#sha256=HEX; absent: nixos")
	flags.BoolVar(&f.noStart, "no-start", false, "create the VM without booting it")
	detachFlag(cmd, &f.detach)
	completeFlags(a, cmd)
	return cmd
}

func (a *app) adopt(ctx context.Context, dir string, ids []string, f adoptFlags) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("%s: %w", clean(dir), err)
	}
	switch {
	case f.all && len(ids) > 0:
		return problem.New(problem.BadParams, "--all and a name exclude each other")
	case f.as != "" && len(ids) != 1:
		return problem.New(problem.BadParams, "--as needs one NAME")
	case f.as != "":
		if err := names.NewMachine(f.as); err != nil {
			return err
		}
	}
	if len(ids) == 0 {
		var r api.AdoptListResult
		if err := a.ask(ctx, "adopt", api.MethodAdoptList, api.AdoptListParams{Directory: dir}, &r); err != nil {
			return err
		}
		if !f.all {
			return a.listAdoptable(r)
		}
		for _, m := range r.Machines {
			switch {
			case m.Problem != nil:
				a.warn(m.ID + " is left out: " + m.Problem.Message)
			case !m.Adopted:
				ids = append(ids, m.ID)
			}
		}
		if len(ids) == 0 {
			a.note("there is nothing to take over in %s", clean(dir))
		}
	}
	for _, id := range ids {
		params := api.AdoptParams{
			Work: api.Work{Detach: true}, Directory: dir, ID: id, Name: f.as, Backend: f.backend, Image: f.image, NoStart: f.noStart,
		}
		result, err := a.operate(ctx, "adopt", api.MethodAdoptTake, params, f.detach)
		if err != nil {
			return err
		}
		if err := a.printMade(result, result.Operation.Machine, f.detach); err != nil {
			return err
		}
	}
	return nil
}

// listAdoptable shows what there is, and what config.toml would have.
func (a *app) listAdoptable(r api.AdoptListResult) error {
	if err := a.print(r, func(w io.Writer) {
		rows := make([][]string, 0, len(r.Machines))
		for _, m := range r.Machines {
			size := ""
			if m.DiskBytes > 0 {
				size = sizeText(m.DiskBytes)
			}
			rows = append(rows, []string{clean(m.ID), orNone(clean(strings.Join(m.Profiles, ","))), clean(m.Mode), size, adoptableWord(m)})
		}
		table(w, []string{"MACHINE", "PROFILES", "MODE", "DISK", "STATE"}, rows)
		if r.Config != "" {
			fmt.Fprintf(w, "\n# The .env file as part of %s:\n%s", clean(a.layout.ConfigFile()), cleanLines(r.Config))
		}
	}); err != nil {
		return err
	}
	for _, m := range r.Machines {
		if m.Problem != nil {
			a.note("%s: %s", clean(m.ID), clean(m.Problem.Message))
			if m.Problem.Hint != "" {
				a.note("  hint: %s", clean(m.Problem.Hint))
			}
		}
	}
	return nil
}

// cleanLines is clean for text of several lines.
func cleanLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = clean(lines[i])
	}
	return strings.Join(lines, "\n")
}

func adoptableWord(m api.Adoptable) string {
	switch {
	case m.Adopted:
		return "taken over"
	case m.Problem == nil:
		return "can be taken over"
	case m.Problem.Code == problem.VMRunning:
		return "running"
	}
	return "cannot be taken over"
}

// completeAdoptable offers directories, then the machines of the one named.
func (a *app) completeAdoptable(cmd *cobra.Command, args []string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return nil, cobra.ShellCompDirectiveFilterDirs
	}
	dir, err := filepath.Abs(args[0])
	var r api.AdoptListResult
	if err != nil || !a.lookup(cmd, api.MethodAdoptList, api.AdoptListParams{Directory: dir}, &r) {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var words []string
	for _, m := range r.Machines {
		if m.Problem == nil && !m.Adopted {
			words = append(words, cobra.CompletionWithDesc(clean(m.ID), clean(strings.Join(m.Profiles, ","))))
		}
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}
