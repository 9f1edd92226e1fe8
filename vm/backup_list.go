package vm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/archive"
	"github.com/nixvm/nixvm/internal/problem"
)

// Backups lists those in our own directory, of a machine or, without a name, of all,
// oldest first.
func (s *Service) Backups(ctx context.Context, name string) ([]api.Backup, error) {
	entries, err := os.ReadDir(s.layout.Backups())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list the backups: %w", err)
	}
	var list []api.Backup
	for _, e := range entries {
		id, ok := strings.CutSuffix(e.Name(), archive.Suffix)
		if !ok || strings.HasPrefix(id, ".") || name != "" && !strings.HasPrefix(id, name+"-") {
			continue
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		path := filepath.Join(s.layout.Backups(), e.Name())
		b := api.Backup{ID: id, File: path}
		f, a, err := s.openArchive(path)
		if err == nil {
			b, err = s.describeArchive(f, a)
			a.Close()
			f.Close()
		}
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed meanwhile
		}
		if err != nil {
			b.Problem = problem.From(err)
		} else if name != "" && b.Machine != name {
			continue
		}
		list = append(list, b)
	}
	slices.SortFunc(list, func(a, b api.Backup) int {
		return a.Created.Compare(b.Created)
	})
	return list, nil
}

// BackupDirectory is our own directory of backups.
func (s *Service) BackupDirectory() string { return s.layout.Backups() }

// backupName is the id of a backup in our own directory, else the path.
func (s *Service) backupName(path string) string {
	if id, ok := strings.CutSuffix(filepath.Base(path), archive.Suffix); ok && filepath.Dir(path) == s.layout.Backups() {
		return id
	}
	return path
}

// findBackup returns the path of a backup, by its id or path, and whether it is not in
// our own directory.
func (s *Service) findBackup(backup string) (path string, foreign bool, err error) {
	if filepath.IsAbs(backup) {
		path = filepath.Clean(backup)
		foreign = filepath.Dir(path) != s.layout.Backups()
	} else if backup == filepath.Base(backup) && !strings.HasPrefix(backup, ".") {
		path = filepath.Join(s.layout.Backups(), backup+archive.Suffix)
	}
	if path == "" || !exists(path) {
		return "", false, problem.New(problem.BackupNotFound, "there is no backup %.200q", backup).
			WithHint("nixvmd backups lists those that there are; an archive elsewhere is named by its path")
	}
	return path, foreign, nil
}

// openArchive opens an archive up to its disk; both must be closed.
func (s *Service) openArchive(path string) (*os.File, *archive.Reader, error) {
	// A pipe or a device would hold us for ever.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = problem.New(problem.ArchiveInvalid, "%s is not a file", path).WithHint("name an archive that nixvmd backup or export has written")
	}
	var a *archive.Reader
	if err == nil {
		a, err = archive.Open(f)
	}
	if err != nil {
		f.Close()
		return nil, nil, archiveProblem(path, err)
	}
	return f, a, nil
}

// archiveProblem gives the errors of archives their code.
func archiveProblem(path string, err error) error {
	switch {
	case errors.Is(err, archive.ErrFormat):
		return problem.New(problem.ArchiveInvalid, "%s: %w", path, err).WithHint("upgrade nixvm")
	case errors.Is(err, archive.ErrInvalid):
		return problem.New(problem.ArchiveInvalid, "%s: %w", path, err).WithHint("take another copy of the archive")
	}
	return err
}

// describeArchive is what clients see of an archive.
func (s *Service) describeArchive(f *os.File, a *archive.Reader) (api.Backup, error) {
	m := a.Manifest
	b := api.Backup{
		File: f.Name(), Machine: m.Machine, Created: m.Created, DiskBytes: m.Disk.Size, Mode: m.Mode, Image: m.Image.Kind,
		Consistent: m.Consistent, Identity: m.Identity,
	}
	if id := s.backupName(b.File); id != b.File {
		b.ID = id
	}
	fi, err := f.Stat()
	if err == nil {
		b.Bytes = fi.Size()
	}
	return b, err
}

// sweepBackups removes archives that a crash has left half written. No operation runs.
func (s *Service) sweepBackups() {
	stale, _ := filepath.Glob(filepath.Join(s.layout.Backups(), ".*"+archive.Suffix+partialSuffix)) // the pattern is well-formed
	for _, path := range stale {
		if err := os.Remove(path); err != nil {
			s.log.Warn("an unfinished backup stays", "file", path, "error", err)
		}
	}
}
