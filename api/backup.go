package api

import (
	"cmp"
	"path/filepath"
	"time"

	"github.com/nixvm/nixvm/internal/problem"
)

// Backup is an archive of a machine: a backup, or what export has written.
type Backup struct {
	// ID of a backup in the daemon's directory; absent for an archive elsewhere.
	ID string `json:"id,omitempty"`
	// File is the absolute path of the archive.
	File string `json:"file"`
	// Machine that it is of.
	Machine string `json:"machine"`
	// Created is when the state of the disk was taken.
	Created time.Time `json:"created"`
	// Bytes is the size of the archive.
	Bytes int64 `json:"bytes"`
	// DiskBytes is the virtual size of the state disk.
	DiskBytes int64 `json:"diskBytes"`
	// Mode of the machine.
	Mode string `json:"mode"`
	// Image is the kind of the image that it booted.
	Image string `json:"image,omitempty"`
	// Consistent: the file systems were frozen, or the VM was off.
	Consistent bool `json:"consistent"`
	// Identity: the archive has the SSH host key and the hash of the root password.
	Identity bool `json:"identity"`
	// Problem says why it cannot be read.
	Problem *problem.Error `json:"problem,omitempty"`
}

// BackupListParams may name a machine.
type BackupListParams struct {
	Tokens
	// Name of the machine whose backups are listed; absent = all.
	Name string `json:"name,omitempty"`
}

// Validate implements Params.
func (p BackupListParams) Validate() error {
	if p.Name == "" {
		return nil
	}
	return checkName(p.Name)
}

// BackupListResult is the backups in the daemon's directory.
type BackupListResult struct {
	// Directory that they are in.
	Directory string `json:"directory"`
	// Backups, oldest first.
	Backups []Backup `json:"backups"`
}

// BackupCreateParams asks for a backup.
type BackupCreateParams struct {
	Work
	// Name of the machine.
	Name string `json:"name"`
	// To is the absolute path of an existing directory, or of a named pipe that the
	// client reads the archive from; absent = the daemon's directory.
	To string `json:"to,omitempty"`
	// WithIdentity puts the SSH host key, the other files of the identity and the hash
	// of the root password into the archive.
	WithIdentity bool `json:"withIdentity,omitempty"`
}

// Validate implements Params.
func (p BackupCreateParams) Validate() error {
	return cmp.Or(checkName(p.Name), checkPath("to", p.To), p.Work.Validate())
}

// BackupInspectParams names an archive.
type BackupInspectParams struct {
	Tokens
	// Backup is the id of a backup, or the absolute path of an archive.
	Backup string `json:"backup"`
	// Name of the machine that is to be made; absent = that of the archive.
	Name string `json:"name,omitempty"`
	// Backend for the VM that is to be made, which is refused if it cannot; absent = it is
	// not checked.
	Backend string `json:"backend,omitempty"`
}

// Validate implements Params.
func (p BackupInspectParams) Validate() error {
	err := cmp.Or(checkBackup(p.Backup), checkLine("backend", p.Backend))
	if err == nil && p.Name != "" {
		err = checkName(p.Name)
	}
	return err
}

// BackupInspectResult is what is in an archive, and what a restore would do.
type BackupInspectResult struct {
	// Backup is the archive.
	Backup Backup `json:"backup"`
	// Name of the machine that a restore makes or changes.
	Name string `json:"name"`
	// Replaces: the machine has a VM, whose disk gets the content of the backup.
	Replaces bool `json:"replaces"`
	// Confirm: the request to restore must repeat the name.
	Confirm bool `json:"confirm"`
	// Settings of the archive that reach beyond the VM, to be looked at before it is
	// made; absent where the settings of the archive are not used.
	Settings []BackupSetting `json:"settings,omitempty"`
}

// BackupSetting is a file of the machine directory in an archive.
type BackupSetting struct {
	// File name, e.g. "remote_forwards".
	File string `json:"file"`
	// Text without blank lines and comments. It comes from the archive.
	Text string `json:"text"`
}

// BackupRestoreParams asks for a machine as it is in an archive.
type BackupRestoreParams struct {
	Work
	// Backup is the id of a backup, or the absolute path of an archive.
	Backup string `json:"backup"`
	// Name of the machine; absent = that of the archive. One that has a VM gets the
	// content of its disk back, and keeps its settings and its identity; else a VM is
	// made.
	Name string `json:"name,omitempty"`
	// Backend for a VM that is made; absent = as in the archive, else the default.
	Backend string `json:"backend,omitempty"`
	// NoStart makes the VM without booting it. A VM that is there is started if it ran.
	NoStart bool `json:"noStart,omitempty"`
	// Confirm repeats the name, where nixvm/backup/inspect says so.
	Confirm string `json:"confirm,omitempty"`
}

// Validate implements Params.
func (p BackupRestoreParams) Validate() error {
	err := cmp.Or(checkBackup(p.Backup), checkLine("backend", p.Backend), checkLine("confirm", p.Confirm), p.Work.Validate())
	if err == nil && p.Name != "" {
		err = checkName(p.Name)
	}
	return err
}

func checkBackup(backup string) error {
	return cmp.Or(checkRequired("backup", backup), checkText("backup", backup, 4096), checkLine("backup", backup))
}

// checkPath refuses what is neither empty nor an absolute path.
func checkPath(field, path string) error {
	if err := cmp.Or(checkText(field, path, 4096), checkLine(field, path)); err != nil {
		return err
	}
	if path != "" && !filepath.IsAbs(path) {
		return problem.BadField(field, "must be an absolute path, not %.80q", path)
	}
	return nil
}
