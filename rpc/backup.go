package rpc

import (
	"context"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

func backupMethods() []Method {
	return []Method{
		slow(api.MethodBackupList, "The backups in the daemon's directory, of one machine or of all. One that cannot be read has a problem.",
			func(ctx context.Context, s *session, p api.BackupListParams) (any, error) {
				list, err := s.srv.core.Backups(ctx, p.Name)
				for i := range list {
					list[i] = plainBackup(list[i])
				}
				return api.BackupListResult{Directory: s.srv.core.BackupDirectory(), Backups: notNil(list)}, err
			}, result[api.BackupListResult]()),
		operation(api.MethodBackupCreate, "Write an archive with the files and the state disk of a machine, and verify it. A running VM is frozen briefly for a snapshot, from which the disk is read, "+
			"and keeps running. Cancelling leaves nothing behind.",
			func(ctx context.Context, s *session, p api.BackupCreateParams) (api.Operation, error) {
				p.Client = s.who()
				return s.srv.core.Backup(ctx, p)
			}, problem.VMNotFound, problem.VMBusy, problem.VMRunning, problem.BackupFailed, problem.DiskFull, problem.Unsupported, problem.BackendUnreachable),
		slow(api.MethodBackupInspect, "What is in an archive, and what nixvm/backup/restore would do with it. Nothing of it is trusted: show the settings before you ask for a confirmation.",
			func(ctx context.Context, s *session, p api.BackupInspectParams) (any, error) {
				r, err := s.srv.core.InspectBackup(ctx, p)
				r.Backup = plainBackup(r.Backup)
				for i, one := range r.Settings {
					r.Settings[i] = api.BackupSetting{File: plainLine(one.File), Text: plainText(one.Text)}
				}
				return r, err
			}, result[api.BackupInspectResult](problem.BackupNotFound, problem.ArchiveInvalid, problem.MachineNameInvalid)),
		operation(api.MethodBackupRestore, "Restore a machine from an archive. If it has a VM, the content of its state disk is replaced, and its settings, identity and snapshots are kept; "+
			"a safety snapshot is taken first, and a running VM is stopped and started again. Otherwise a machine with the settings in the archive and its VM are created, on any backend that supports it; "+
			"the image is built if it is missing. If the archive has no identity, the machine gets a new one.",
			func(ctx context.Context, s *session, p api.BackupRestoreParams) (api.Operation, error) {
				p.Client = s.who()
				return s.srv.core.RestoreBackup(ctx, p)
			}, problem.BackupNotFound, problem.ArchiveInvalid, problem.ConfirmRequired, problem.MachineNameInvalid, problem.MachineInvalid, problem.MachineExists, problem.VMExists,
			problem.ModeUnsupported, problem.SizeInvalid, problem.BackendUnknown, problem.Unsupported, problem.DiskFull, problem.SSHNameTaken, problem.VMBusy, problem.SnapshotFailed),
	}
}

// plainBackup is a backup whose words, which come from the archive, are fit for a
// terminal.
func plainBackup(b api.Backup) api.Backup {
	b.Machine, b.Mode, b.Image, b.Created = plainLine(b.Machine), plainLine(b.Mode), plainLine(b.Image), wireTime(b.Created)
	b.ID, b.File = plainLine(b.ID), plainLine(b.File)
	return b
}
