package vm

import (
	"context"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
	"github.com/nixvm/nixvm/operation"
	"github.com/nixvm/nixvm/vm/inventory"
)

// InspectBackup says what is in an archive, and what a restore would do.
func (s *Service) InspectBackup(_ context.Context, p api.BackupInspectParams) (api.BackupInspectResult, error) {
	w, err := s.want(p.Backup, p.Name)
	if err != nil {
		return api.BackupInspectResult{}, err
	}
	if p.Backend != "" && !w.there {
		b, err := s.backend(p.Backend)
		if err == nil {
			_, err = backends.Require[backends.Importer](b, importsDisks)
		}
		if err != nil {
			return api.BackupInspectResult{}, err
		}
	}
	r := api.BackupInspectResult{Backup: w.backup, Name: w.name, Replaces: w.there, Confirm: w.confirm(s)}
	if !w.there && !s.machines.Exists(w.name) {
		for _, g := range w.archived().Grants() {
			r.Settings = append(r.Settings, api.BackupSetting{File: g.File, Text: g.Text})
		}
	}
	return r, nil
}

// RestoreBackup brings back what is in an archive: to the VM of that name, whose disk
// gets the content of the backup and whose present state is kept in a safety snapshot,
// or as a new VM.
func (s *Service) RestoreBackup(ctx context.Context, req api.BackupRestoreParams) (api.Operation, error) {
	w, err := s.want(req.Backup, req.Name)
	if err != nil {
		return api.Operation{}, err
	}
	if w.confirm(s) {
		what := "importing an archive as a machine"
		if w.there {
			what = "restoring a backup"
		}
		if err := confirmed(w.name, req.Confirm, what); err != nil {
			return api.Operation{}, err
		}
	}
	if w.there {
		op := api.Operation{Kind: api.KindRestoreBackup, Machine: w.name, Client: req.Client}
		return operation.Begin(ctx, s.engine, op, func(ctx context.Context) (restoreBackupArgs, error) { return s.judgeRestoreBackup(ctx, w) })
	}
	if err := names.NewMachine(w.name); err != nil {
		return api.Operation{}, err
	}
	op := api.Operation{Kind: api.KindImport, Machine: w.name, Client: req.Client}
	return operation.Begin(ctx, s.engine, op, func(ctx context.Context) (importArgs, error) {
		args, wrong := s.judgeImport(ctx, w, req)
		return args, wrong.first()
	})
}

// restoreBackupArgs is what restore-backup must remember from its beginning.
type restoreBackupArgs struct {
	source
	Safety     string `json:"safety"`
	WasRunning bool   `json:"wasRunning"`
	Generation uint64 `json:"generation"` // of the identity medium, which the disk may remember
}

// check implements checked.
func (a restoreBackupArgs) check(string) error {
	if err := names.Snapshot(a.Safety); err != nil {
		return err
	}
	return a.source.check()
}

func (s *Service) judgeRestoreBackup(ctx context.Context, w wanted) (restoreBackupArgs, error) {
	args := restoreBackupArgs{source: w.source, Generation: w.head.Manifest.Generation}
	m, b, err := s.realised(w.name)
	if err != nil {
		return args, err
	}
	if _, err := backends.Require[backends.DiskRewriter](b, "replace the content of a disk"); err != nil {
		return args, problem.From(err).WithHint("restore it to a new machine: --as NAME")
	}
	if mode := w.head.Manifest.Mode; (mode == string(machine.Mutable)) != (m.Mode == machine.Mutable) {
		return args, problem.New(problem.ModeUnsupported, "the backup is of a machine that is %s, and %s is %s", mode, w.name, m.Mode).
			WithHint("restore it to a new machine: --as NAME")
	}
	if size := w.head.Manifest.Disk.Size; size > m.DiskBytes {
		return args, problem.New(problem.SizeInvalid, "the disk in the backup has %s, the one of %s has %s", machine.FormatSize(size), w.name, machine.FormatSize(m.DiskBytes)).
			WithHint("nixvmd configure %s --disk %s and start it once; or restore it to a new machine: --as NAME", w.name, machine.FormatSize(size))
	}
	list, err := s.Snapshots(ctx, w.name)
	if err != nil {
		return args, err
	}
	state, err := s.stateNow(ctx, w.name)
	args.Safety, args.WasRunning = timedName(list, safetyPrefix, time.Now()), inventory.Alive(state)
	return args, err
}

func (s *Service) planRestoreBackup(name string, args restoreBackupArgs) operation.Plan {
	p := s.planRestoreFrom(name, restoreArgs{Snapshot: s.backupName(args.File), Safety: args.Safety, WasRunning: args.WasRunning},
		operation.Step{
			Title: "restoring the disk from the backup", Weight: 20,
			Do: func(ctx context.Context, r *operation.Run) error { return s.rewriteDisk(ctx, name, args, r) },
		})
	p.Describe = func(o *api.Operation) { o.Backup = s.backupName(args.File) }
	return p
}

// rewriteDisk gives the state disk the content of the backup. It may be begun twice.
func (s *Service) rewriteDisk(ctx context.Context, name string, args restoreBackupArgs, r *operation.Run) error {
	_, b, err := s.realised(name)
	if err != nil {
		return err
	}
	rewriter, err := backends.Require[backends.DiskRewriter](b, "replace the content of a disk")
	if err != nil {
		return err
	}
	err = s.readDisk(ctx, args.source, func(d backends.Disk) error { return rewriter.RewriteDisk(ctx, s.ref(name), d, r.Report) })
	if err != nil {
		return err
	}
	// The guest takes the identity of a generation that its disk does not remember.
	rec := s.recordOf(name)
	if rec == nil {
		return notFound(name)
	}
	if rec.Generation = max(rec.Generation, args.Generation) + 1; rec.Generation <= args.Generation {
		return problem.New(problem.ArchiveInvalid, "generation %d of the identity", args.Generation)
	}
	return problem.Disk(s.inventory.PutRecord(*rec))
}
