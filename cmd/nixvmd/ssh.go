package main

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/internal/problem"
)

func newSSH(a *app) *cobra.Command {
	admin, tty := false, false
	cmd := &cobra.Command{
		Use: "ssh NAME [-- COMMAND...]", Short: "Open a shell in a VM, or run a command there",
		Long: `Open a shell in a VM, or run a command there. A stopped VM is started first.

This runs ssh with nixvm's own configuration, so it works even if your
~/.ssh/config cannot be changed. As with ssh, the words of COMMAND are joined and
interpreted by the shell in the VM, and the exit code is that of the command.`,
		Example: `  nixvmd ssh demo
  nixvmd ssh demo -- 'cd project && git status'
  nixvmd ssh demo --admin -- sudo journalctl -b`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return problem.New(problem.BadParams, "NAME is missing").WithHint("nixvmd ssh NAME")
			}
			return nil
		},
		ValidArgsFunction: a.completeFirst(a.completeNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := args[0]
			if rest, ok := strings.CutPrefix(name, "admin@"); ok {
				name, admin = rest, true
			}
			name = strings.TrimPrefix(name, "user@")
			argv, err := a.sshCommand(cmd.Context(), name, admin, tty, args[1:])
			if err != nil {
				return err
			}
			return execute(argv)
		},
	}
	cmd.Flags().BoolVar(&admin, "admin", false, "log in as admin, who may use sudo; same as admin@NAME")
	cmd.Flags().BoolVarP(&tty, "tty", "t", false, "allocate a terminal for COMMAND, like ssh -t")
	return cmd
}

// sshCommand is the argument vector of ssh for a machine. It names our own
// configuration file, so it does not depend on what the user's includes.
func (a *app) sshCommand(ctx context.Context, name string, admin, tty bool, command []string) ([]string, error) {
	if err := names.Machine(name); err != nil {
		return nil, err
	}
	m, err := a.machine(ctx, "ssh", name)
	if err != nil {
		return nil, err
	}
	host := m.SSHHost
	if admin {
		host = m.AdminHost
	}
	switch {
	case host != "":
	case m.Problem != nil:
		return nil, m.Problem
	case m.State == "absent":
		return nil, problem.New(problem.VMNotFound, "%s is declared, but has no VM", name).WithHint("nixvmd create %s", name)
	default:
		return nil, problem.New(problem.VMNotFound, "%s has no SSH name: it is %s", name, m.State).WithHint("nixvmd status %s says more", name)
	}
	argv := []string{"ssh", "-F", a.layout.SSHConfig()}
	if tty {
		argv = append(argv, "-t")
	}
	argv = append(argv, "--", host)
	return append(argv, command...), nil
}

// execute replaces this process, so that signals, the terminal and the exit
// code are the program's own. It returns only when that is not possible.
func execute(argv []string) error {
	path, err := exec.LookPath(argv[0])
	if err != nil {
		p := problem.New(problem.BackendMissing, "%s is not installed (not found in PATH)", argv[0])
		if argv[0] == "ssh" {
			return p.WithHint("install it (Debian: openssh-client, Fedora: openssh-clients)")
		}
		return p.WithHint("install it, or open the VM in another way; nixvmd attach NAME lists them")
	}
	if err := syscall.Exec(path, argv, os.Environ()); err != nil {
		return problem.New(problem.Internal, "cannot run %s: %w", path, err)
	}
	return nil
}

// attachTo asks for everything that an editor needs; with start it waits until
// the VM answers.
func attachTo(ctx context.Context, d daemon, params api.AttachParams) (api.AttachResult, error) {
	var r api.AttachResult
	err := d.Call(ctx, api.MethodAttach, params, &r)
	return r, err
}
