package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/archive"
	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/internal/problem"
)

// restoreFlags are the flags of restore-backup and import, as typed.
type restoreFlags struct {
	as, backend, confirm string
	noStart, detach      bool
}

func newRestoreBackup(a *app) *cobra.Command {
	var f restoreFlags
	cmd := &cobra.Command{
		Use: "restore-backup BACKUP [NAME]", Short: "Restore a VM from a backup",
		Long: `Restore a VM from a backup: its ID as nixvmd backups lists it, or a file.

If the machine has a VM, the content of its state disk is replaced, and it keeps its
settings, its identity and its snapshots. The current content is saved in a safety
snapshot first, whose name is printed. A running VM is stopped and started again.

Otherwise a machine with the settings in the backup and its VM are created, as by
import. --as NEW creates them under another name.`,
		Example: `  nixvmd restore-backup demo-20261130-120000
  nixvmd restore-backup demo-20261130-120000 --as demo2
  nixvmd restore-backup /mnt/usb/demo-20261130-120000.nixvm.tar.zst`,
		Args: takes("BACKUP", "[NAME]"), ValidArgsFunction: a.completeBackups,
		RunE: func(cmd *cobra.Command, args []string) error {
			name := ""
			switch {
			case len(args) > 1 && f.as != "":
				return problem.New(problem.BadParams, "NAME and --as exclude each other")
			case len(args) > 1:
				name = args[1]
			case f.as != "":
				name = f.as
			}
			return a.restoreBackup(cmd.Context(), "restore-backup", args[0], name, f)
		},
	}
	cmd.Flags().StringVar(&f.as, "as", "", "create the machine `NEW`, which must not have a VM")
	f.add(a, cmd)
	return cmd
}

// add adds the flags that both verbs have.
func (f *restoreFlags) add(a *app, cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.backend, "backend", "", "create the VM on `BACKEND`")
	flags.BoolVar(&f.noStart, "no-start", false, "create the VM without booting it")
	confirmFlag(cmd, &f.confirm)
	detachFlag(cmd, &f.detach)
	completeFlags(a, cmd)
}

// restoreBackup restores an archive. name may be empty: that of the archive.
func (a *app) restoreBackup(ctx context.Context, verb, backup, name string, f restoreFlags) error {
	backup, err := archivePath(verb, backup)
	if err == nil && name != "" {
		err = names.Machine(name)
	}
	if err != nil {
		return err
	}
	var r api.BackupInspectResult
	if err := a.ask(ctx, verb, api.MethodBackupInspect, api.BackupInspectParams{Backup: backup, Name: name, Backend: f.backend}, &r); err != nil {
		return err
	}
	if r.Replaces && (f.as != "" || verb == "import") {
		return problem.New(problem.MachineExists, "the machine %s has a VM", r.Name).
			WithHint("choose another name; nixvmd restore-backup replaces the content of its disk")
	}
	if r.Confirm {
		again := strings.TrimSpace("nixvmd " + verb + " " + backup + " " + name)
		if f.as != "" {
			again = "nixvmd " + verb + " " + backup + " --as " + f.as
		}
		if err := a.confirmRestore(r, f, again); err != nil {
			return err
		}
	}
	params := api.BackupRestoreParams{Work: api.Work{Detach: true}, Backup: backup, Name: r.Name, Backend: f.backend, NoStart: f.noStart}
	if r.Confirm {
		params.Confirm = r.Name
	}
	result, err := a.operate(ctx, verb, api.MethodBackupRestore, params, f.detach)
	if err != nil {
		return err
	}
	if !r.Replaces {
		return a.printMade(result, r.Name, f.detach)
	}
	return a.printOperation(result, f.detach, func(w io.Writer) {
		fmt.Fprintf(w, "%s has been restored to the backup of %s\n", r.Name, takenAt(r.Backup))
		if safety := result.Operation.Safety; safety != "" {
			fmt.Fprintf(w, "the previous content is in the snapshot %s\n", clean(safety))
		}
	})
}

// archivePath is the absolute path of a file, or the id of a backup as it is.
func archivePath(verb, backup string) (string, error) {
	isPath := verb == "import" || strings.ContainsRune(backup, os.PathSeparator) || strings.HasSuffix(backup, archive.Suffix)
	if !isPath {
		return backup, nil
	}
	if _, err := os.Lstat(backup); errors.Is(err, fs.ErrNotExist) {
		return "", problem.New(problem.BackupNotFound, "there is no file %s", clean(backup)).
			WithHint("name an archive that nixvmd export or backup has written; nixvmd backups lists those of this host")
	}
	return filepath.Abs(backup)
}

// confirmRestore makes sure that the user has seen what the restore does.
func (a *app) confirmRestore(r api.BackupInspectResult, f restoreFlags, again string) error {
	if f.confirm == "" && !r.Replaces && !a.interactive() {
		return problem.New(problem.ConfirmRequired, "the archive was not made on this host, and there is no terminal to confirm its settings: %s", settingsLine(r.Settings)).
			WithHint("%s --confirm %s", again, r.Name)
	}
	return a.confirmed(r.Name, f.confirm, again, func(w io.Writer) error { showRestore(w, r, f); return nil })
}

// settingsLine is the settings on one line.
func settingsLine(list []api.BackupSetting) string {
	var words []string
	for _, s := range list {
		words = append(words, clean(s.File+": "+strings.ReplaceAll(s.Text, "\n", ", ")))
	}
	return strings.Join(words, "; ")
}

func takenAt(b api.Backup) string { return b.Created.Local().Format("2006-01-02 15:04:05") }

// showRestore says what a restore replaces, or what a new machine may reach.
func showRestore(w io.Writer, r api.BackupInspectResult, f restoreFlags) {
	if r.Replaces {
		fmt.Fprintf(w, "The state disk of %s will be replaced by the backup of %s, taken %s.\n", r.Name, clean(r.Backup.Machine), takenAt(r.Backup))
		fmt.Fprintln(w, "Later changes are removed from the disk; a safety snapshot keeps them.")
		fmt.Fprintln(w, "A running VM is stopped and started again.")
		return
	}
	fmt.Fprintf(w, "The archive %s will become the machine %s.\n", clean(r.Backup.File), r.Name)
	fmt.Fprintln(w, "It was not made on this host. These settings come from it:")
	for _, s := range r.Settings {
		for _, line := range strings.Split(s.Text, "\n") {
			fmt.Fprintf(w, "  %s: %s\n", clean(s.File), clean(line))
		}
	}
	if f.backend != "" {
		fmt.Fprintf(w, "The backend will be %s.\n", clean(f.backend))
	}
}

// completeBackups offers backups, then machines.
func (a *app) completeBackups(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return a.completeNames(cmd, args[1:], toComplete)
	}
	var r api.BackupListResult
	if !a.lookup(cmd, api.MethodBackupList, api.BackupListParams{}, &r) {
		return nil, cobra.ShellCompDirectiveDefault
	}
	var words []string
	for _, b := range r.Backups {
		words = append(words, cobra.CompletionWithDesc(clean(b.ID), clean(b.Machine)))
	}
	return words, cobra.ShellCompDirectiveDefault // or a file
}
