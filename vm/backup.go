package vm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/archive"
	"github.com/nixvm/nixvm/internal/atomicfile"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/operation"
)

// backupPrefix begins the names of the snapshots that backups are read from.
const backupPrefix = "backup-"

// Backup writes an archive of a machine: of a VM that runs, from a snapshot that is
// taken for it while the guest is frozen, and deleted afterwards.
func (s *Service) Backup(ctx context.Context, req api.BackupCreateParams) (api.Operation, error) {
	op := api.Operation{Kind: api.KindBackup, Machine: req.Name, Client: req.Client}
	return operation.Begin(ctx, s.engine, op, func(ctx context.Context) (backupArgs, error) { return s.judgeBackup(ctx, req) })
}

func (s *Service) judgeBackup(ctx context.Context, req api.BackupCreateParams) (backupArgs, error) {
	args := backupArgs{Identity: req.WithIdentity, Created: time.Now().UTC()}
	_, b, err := s.realised(req.Name)
	if err != nil {
		return args, err
	}
	if _, err := backends.Require[backends.Exporter](b, "back up VMs"); err != nil {
		return args, err
	}
	state, err := s.stateNow(ctx, req.Name)
	if err != nil {
		return args, err
	}
	switch state {
	case backends.Stopped:
	case backends.Crashed:
		args.Crashed = true
	case backends.Running, backends.Suspended:
		taker, err := backends.Require[backends.Snapshotter](b, "take snapshots, which a backup of a running VM is read from")
		if err != nil {
			return args, err
		}
		if !taker.SnapshotsLive() {
			return args, problem.New(problem.VMRunning, "backend %s takes no snapshots of running VMs, which a backup is read from", b.Name()).WithHint("nixvmd stop %s first", req.Name)
		}
		list, err := s.Snapshots(ctx, req.Name)
		if err != nil {
			return args, err
		}
		args.Snapshot = timedName(list, backupPrefix, args.Created)
	default:
		return args, problem.New(problem.BackendUnreachable, "%s is %s", req.Name, state).WithHint("nixvmd status %s says why", req.Name).Retry()
	}
	return args, s.placeBackup(req, &args)
}

// placeBackup chooses the file.
func (s *Service) placeBackup(req api.BackupCreateParams, args *backupArgs) error {
	dir := req.To
	if dir == "" {
		dir = s.layout.Backups()
	}
	fi, err := os.Stat(dir)
	switch {
	case err != nil:
		return problem.New(problem.BadParams, "the target of the backup: %s", problem.Path(err)).WithHint("name a directory that exists")
	case fi.Mode()&fs.ModeNamedPipe != 0 && req.To != "":
		args.File, args.Pipe = dir, true
		return nil
	case !fi.IsDir():
		return problem.New(problem.BadParams, "the target of the backup, %s, is not a directory", dir).WithHint("name a directory that exists")
	}
	id := req.Name + "-" + args.Created.Local().Format("20060102-150405")
	args.File = filepath.Join(dir, id+archive.Suffix)
	for n := 2; exists(args.File); n++ {
		args.File = filepath.Join(dir, id+"-"+strconv.Itoa(n)+archive.Suffix)
	}
	return nil
}

func (s *Service) planBackup(name string, args backupArgs) operation.Plan {
	b := &backup{s: s, name: name, args: args}
	var steps []operation.Step
	if args.Snapshot != "" {
		steps = append(steps, operation.Step{
			Name: "snapshot", Title: "taking a snapshot", Do: b.snapshot,
			Undo: b.dropSnapshot, Undoes: "deletes the snapshot " + args.Snapshot,
		})
	}
	write := operation.Step{Name: "write", Title: "writing the backup", Weight: 30, Do: b.write}
	if args.Pipe {
		write.Do = b.stream
		steps = append(steps, write)
	} else {
		write.Undo, write.Undoes = b.remove, "removes what is written of the backup"
		steps = append(
			steps, write,
			operation.Step{Name: "verify", Title: "verifying the backup", Weight: 10, Do: b.verify},
			operation.Step{Name: "publish", Title: "giving the backup its name", Do: b.publish, Undo: b.remove, Undoes: "removes the backup"},
		)
	}
	p := operation.Plan{Commit: len(steps), Describe: func(o *api.Operation) { o.Backup = s.backupName(args.File) }}
	if args.Snapshot != "" {
		p.Detail = detail{snapshot: args.Snapshot, left: s.hasSnapshot(name, args.Snapshot)}
		steps = append(steps, operation.Step{Name: "drop", Title: "deleting the snapshot", Do: b.dropSnapshot})
	}
	if s.config.Backup.Keep != (Keep{}) && filepath.Dir(args.File) == s.layout.Backups() {
		steps = append(steps, operation.Step{Name: "retention", Title: "removing old backups", Do: func(_ context.Context, r *operation.Run) error {
			return s.pruneBackups(name, r)
		}})
	}
	p.Steps = steps
	return p
}

func (b *backup) snapshot(ctx context.Context, r *operation.Run) error {
	_, taker, err := b.s.snapshotter(b.name)
	if err == nil && r.Half() {
		err = b.dropSnapshot(ctx, r)
	}
	if err != nil {
		return err
	}
	sn, err := b.s.makeSnapshot(ctx, taker, b.name, backends.SnapshotRequest{
		Name: b.args.Snapshot, Description: "taken for a backup, and deleted at its end",
	})
	if err == nil && !sn.Frozen {
		b.crash = true
		r.Warn("could not freeze the guest's file systems: the backup is crash-consistent")
	}
	return err
}

func (b *backup) dropSnapshot(ctx context.Context, _ *operation.Run) error {
	return b.s.dropSnapshot(ctx, b.name, b.args.Snapshot, nil)
}

// write writes the archive under another name.
func (b *backup) write(ctx context.Context, r *operation.Run) error {
	dir, err := os.OpenRoot(filepath.Dir(b.args.File))
	if err != nil {
		return b.failed(err)
	}
	b.dir = dir // closed by publish, or by remove
	name := filepath.Base(b.partial())
	if err := dir.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return b.failed(err)
	}
	f, err := dir.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return b.failed(err)
	}
	err = b.writeArchive(ctx, f, r)
	if err == nil {
		err = f.Sync()
	}
	return b.failed(errors.Join(err, f.Close()))
}

// verify reads what has been written, as a restore would.
func (b *backup) verify(ctx context.Context, r *operation.Run) error {
	f, err := os.Open(b.partial())
	if err != nil {
		return b.failed(err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return b.failed(err)
	}
	a, err := archive.Open(reading(ctx, f, r.Report, "verifying the backup", fi.Size()))
	if err != nil {
		return b.failed(err)
	}
	defer a.Close()
	return b.failed(a.Verify())
}

func (b *backup) publish(_ context.Context, r *operation.Run) error {
	err := os.Rename(b.partial(), b.args.File)
	if r.Half() && errors.Is(err, fs.ErrNotExist) && exists(b.args.File) {
		err = nil
	}
	if err == nil {
		err = atomicfile.SyncDir(filepath.Dir(b.args.File))
	}
	if err == nil {
		err = b.closeDir()
	}
	return b.failed(err)
}

// closeDir lets go of the directory.
func (b *backup) closeDir() error {
	if b.dir == nil {
		return nil
	}
	err := b.dir.Close()
	b.dir = nil
	return err
}

// remove removes what there is of the archive, also in a directory that has been renamed
// meanwhile. A target that has vanished has nothing.
func (b *backup) remove(context.Context, *operation.Run) error {
	if b.dir != nil {
		err := b.dir.Remove(filepath.Base(b.partial()))
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		if err = errors.Join(err, b.closeDir()); err != nil {
			return fmt.Errorf("remove the unfinished backup: %w", err)
		}
	}
	for _, path := range []string{b.partial(), b.args.File} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove the unfinished backup: %w", err)
		}
	}
	return nil
}

// failed is the problem of a backup that cannot be written.
func (b *backup) failed(err error) error {
	err = problem.Disk(err)
	if err == nil || problem.From(err).Code != problem.Internal {
		return err
	}
	return problem.New(problem.BackupFailed, "the backup of %s to %s: %w", b.name, filepath.Dir(b.args.File), err).
		WithHint("check that directory, or choose another one with --to")
}
