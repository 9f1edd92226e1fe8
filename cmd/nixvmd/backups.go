package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/api"
)

func newBackups(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "backups [NAME]", Short: "List backups, oldest first",
		Args: takes("[NAME]"), ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			var p api.BackupListParams
			if len(args) > 0 {
				p.Name = args[0]
			}
			var r api.BackupListResult
			if err := a.ask(cmd.Context(), "backups", api.MethodBackupList, p, &r); err != nil {
				return err
			}
			if len(r.Backups) == 0 {
				of, name := "", "NAME"
				if p.Name != "" {
					of, name = " of "+clean(p.Name), clean(p.Name)
				}
				a.note("there are no backups%s in %s; make one with nixvmd backup %s", of, r.Directory, name)
			}
			for _, b := range r.Backups {
				if b.Problem != nil {
					a.warn(b.ID + ": " + b.Problem.Message)
				}
			}
			return a.print(r, func(w io.Writer) {
				if len(r.Backups) > 0 {
					backupTable(w, r.Backups)
				}
			})
		},
	}
}

func backupTable(w io.Writer, list []api.Backup) {
	word := func(yes bool) string {
		if yes {
			return "yes"
		}
		return "no"
	}
	rows := make([][]string, 0, len(list))
	for _, b := range list {
		if b.Problem != nil {
			rows = append(rows, []string{b.ID, "", "", "", "", "", "unreadable"})
			continue
		}
		rows = append(rows, []string{
			b.ID, b.Machine, b.Created.Local().Format("2006-01-02 15:04:05"), sizeText(b.Bytes), sizeText(b.DiskBytes), word(b.Consistent), word(b.Identity),
		})
	}
	table(w, []string{"BACKUP", "MACHINE", "TAKEN", "SIZE", "DISK", "CONSISTENT", "IDENTITY"}, rows)
}
