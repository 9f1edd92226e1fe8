package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

func newSSHConfig(a *app) *cobra.Command {
	var show, apply, remove, preview bool
	cmd := &cobra.Command{
		Use: "ssh-config", Short: "Show, apply or remove the SSH configuration of the VMs",
		Long: `create and destroy keep the SSH configuration up to date: one Include line at the
top of your own file, and everything else in a file of nixvm's. This command shows
it, or removes it.`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if ownFlags(cmd) > 1 {
				return problem.New(problem.BadParams, "more than one action given").WithHint("give one of --preview, --print, --apply and --remove")
			}
			switch {
			case show:
				return a.printSSHConfig()
			case apply:
				return a.applySSHConfig(cmd)
			case remove:
				var r api.EmptyResult
				if err := a.ask(cmd.Context(), "ssh-config", api.MethodSSHRemove, api.NoParams{}, &r); err != nil {
					return err
				}
				return a.print(r, func(w io.Writer) {
					fmt.Fprintln(w, "removed the Include line; the next change of a VM adds it again")
				})
			}
			return a.previewSSHConfig(cmd)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&preview, "preview", false, "show what --apply would change, as a diff (the default)")
	flags.BoolVar(&show, "print", false, "print the Include line and the entries of the VMs")
	flags.BoolVar(&apply, "apply", false, "write the Include line and the entries, and verify them with ssh -G")
	flags.BoolVar(&remove, "remove", false, "remove the Include line")
	return cmd
}

// sshConfigAnswer is what ssh-config --print --json prints.
type sshConfigAnswer struct {
	File    string `json:"file"`
	Include string `json:"include"` // the line for the user's own configuration
	Content string `json:"content"`
}

// printSSHConfig needs no daemon: it shows what is written.
func (a *app) printSSHConfig() error {
	file := a.layout.SSHConfig()
	content, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read nixvm's SSH configuration: %w", err)
	}
	answer := sshConfigAnswer{File: file, Include: "Include " + quoteSSH(file), Content: string(content)}
	return a.print(answer, func(w io.Writer) { fmt.Fprintf(w, "# %s\n%s", answer.Include, answer.Content) })
}

// quoteSSH quotes a path for ssh_config(5) if it needs that.
func quoteSSH(path string) string {
	for _, r := range path {
		if r == ' ' || r == '\t' {
			return `"` + path + `"`
		}
	}
	return path
}

func (a *app) applySSHConfig(cmd *cobra.Command) error {
	var r api.SSHApplyResult
	if err := a.ask(cmd.Context(), "ssh-config", api.MethodSSHApply, api.NoParams{}, &r); err != nil {
		return err
	}
	for _, w := range r.Warnings {
		a.warn(w)
	}
	return a.print(r, func(w io.Writer) {
		if r.Verified {
			fmt.Fprintln(w, "wrote and verified the SSH configuration")
		} else {
			fmt.Fprintln(w, "wrote nixvm's own files; ssh does not read them yet")
		}
	})
}

func (a *app) previewSSHConfig(cmd *cobra.Command) error {
	var r api.SSHPreviewResult
	if err := a.ask(cmd.Context(), "ssh-config", api.MethodSSHPreview, api.NoParams{}, &r); err != nil {
		return err
	}
	if r.Diff == "" {
		a.note("nothing to change")
	}
	return a.print(r, func(w io.Writer) { fmt.Fprint(w, r.Diff) })
}
