package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/internal/problem"
)

// backupFlags are the flags of backup, as typed.
type backupFlags struct {
	to                            string
	all, stdout, identity, detach bool
}

func newBackup(a *app) *cobra.Command {
	var f backupFlags
	cmd := &cobra.Command{
		Use: "backup NAME", Short: "Back up a VM's state disk and settings",
		Long: `Write an archive with the settings and the state disk of a VM, and verify it. A
running VM keeps running: its file systems are frozen briefly for a snapshot, from
which the disk is copied. The snapshot is deleted afterwards.

Backups are kept in the data directory of nixvm, or in DIR, which must exist. The
SSH host key and the root password are left out unless --with-identity is given: a
VM that is restored without them gets a new identity, as a clone does.`,
		Example: `  nixvmd backup demo
  nixvmd backup demo --to /mnt/usb --with-identity
  nixvmd backup demo --stdout | ssh nas 'cat > demo.nixvm.tar.zst'`,
		Args: func(cmd *cobra.Command, args []string) error {
			if f.all {
				return takes()(cmd, args)
			}
			return takes("NAME")(cmd, args)
		},
		ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case f.stdout && (f.to != "" || f.detach || f.all):
				return problem.New(problem.BadParams, "--stdout cannot be combined with --to, --detach or --all")
			case f.stdout:
				return a.stream(cmd.Context(), "backup", args[0], f.identity)
			case f.all:
				return a.backupAll(cmd.Context(), f)
			}
			return a.backup(cmd.Context(), args[0], f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.to, "to", "", "write the archive to `DIR`")
	flags.BoolVar(&f.stdout, "stdout", false, "write the archive to standard output")
	flags.BoolVar(&f.identity, "with-identity", false, "include the SSH host key and the root password; keep the archive secret")
	flags.BoolVar(&f.all, "all", false, "back up every machine that has a VM, one after the other")
	_ = cmd.MarkFlagDirname("to") // the flag is there
	detachFlag(cmd, &f.detach)
	return cmd
}

func (a *app) backup(ctx context.Context, name string, f backupFlags) error {
	if err := names.Machine(name); err != nil {
		return err
	}
	params := api.BackupCreateParams{Work: api.Work{Detach: true}, Name: name, WithIdentity: f.identity}
	if f.to != "" {
		var err error
		if params.To, err = filepath.Abs(f.to); err != nil {
			return err
		}
	}
	result, err := a.operate(ctx, "backup", api.MethodBackupCreate, params, f.detach)
	if err != nil {
		return err
	}
	return a.printOperation(result, f.detach, func(w io.Writer) {
		backup := clean(result.Operation.Backup)
		fmt.Fprintf(w, "backed up %s; to restore it: nixvmd restore-backup %s\n", name, backup)
	})
}

// backupAll goes on after a failure, and returns the first.
func (a *app) backupAll(ctx context.Context, f backupFlags) error {
	var list api.MachineListResult
	if err := a.ask(ctx, "backup", api.MethodMachineList, api.NoParams{}, &list); err != nil {
		return err
	}
	var first error
	failed, all := 0, 0
	for _, m := range list.Machines {
		if m.State == "absent" {
			continue
		}
		all++
		err := a.backup(ctx, m.Name, f)
		if err == nil {
			continue
		}
		if failed++; first == nil {
			first = err
		}
		a.warn(fmt.Sprintf("%s is not backed up: %v", m.Name, err))
		if ctx.Err() != nil || problem.HasCode(err, problem.Cancelled) {
			return err
		}
	}
	if failed == 0 {
		return nil
	}
	p := problem.From(first)
	return problem.New(p.Code, "%d of %d machines are not backed up; the first: %w", failed, all, first).WithHint("%s", p.Hint)
}

// errStdoutTerminal keeps binary data off terminals.
var errStdoutTerminal = problem.New(problem.BadParams, "the archive is not written to a terminal").
	WithHint("redirect the output to a file or a program")

// stream lets the daemon write an archive into a pipe, and passes it on.
func (a *app) stream(ctx context.Context, verb, name string, identity bool) error {
	if err := names.Machine(name); err != nil {
		return err
	}
	if a.outTTY {
		return errStdoutTerminal
	}
	if a.json {
		return problem.New(problem.BadParams, "--json has no place beside an archive on standard output").WithHint("use nixvmd backup %s", name)
	}
	// A reader that goes away must not end us before the operation has been undone and
	// the pipe removed.
	signal.Notify(make(chan os.Signal, 1), unix.SIGPIPE)
	defer a.out.broken()
	defer signal.Reset(unix.SIGPIPE)
	p, err := newFifo(a.out)
	if err != nil {
		return err
	}
	params := api.BackupCreateParams{Work: api.Work{Detach: true}, Name: name, To: p.path, WithIdentity: identity}
	_, err = a.operate(ctx, verb, api.MethodBackupCreate, params, false)
	if lost := p.close(); lost != nil && a.out.err == nil {
		err = errors.Join(err, lost)
	}
	if a.out.err != nil {
		return a.out.err // the daemon only knows that we have gone
	}
	if err == nil {
		a.note("wrote an archive of %s", name)
	}
	return err
}
