package vm

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/archive"
	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/internal/progress"
	"github.com/nixvm/nixvm/internal/version"
	"github.com/nixvm/nixvm/operation"
	"github.com/nixvm/nixvm/vm/inventory"
)

// backupArgs is what backup must remember from its beginning.
type backupArgs struct {
	File     string    `json:"file"`               // the archive; or the named pipe
	Pipe     bool      `json:"pipe,omitempty"`     // File is read while it is written
	Snapshot string    `json:"snapshot,omitempty"` // that is taken for it; empty: the VM is off
	Identity bool      `json:"identity,omitempty"` // secrets are part of it
	Crashed  bool      `json:"crashed,omitempty"`  // the VM is off, and was not shut down
	Created  time.Time `json:"created"`
}

// check implements checked.
func (a backupArgs) check(string) error {
	if !filepath.IsAbs(a.File) || a.Snapshot != "" && names.Snapshot(a.Snapshot) != nil {
		return fmt.Errorf("they are about %.80q and the snapshot %.80q", a.File, a.Snapshot)
	}
	return nil
}

// backup is one on its way.
type backup struct {
	s     *Service
	name  string
	args  backupArgs
	crash bool // the guest could not be frozen
	// dir is the directory of the archive while it is written, whatever its path is then;
	// nil after a restart of the daemon.
	dir *os.Root
}

func (b *backup) partial() string {
	return filepath.Join(filepath.Dir(b.args.File), "."+filepath.Base(b.args.File)+partialSuffix)
}

// partialSuffix ends the names of archives that are being written.
const partialSuffix = ".partial"

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// writeArchive writes the archive to w.
func (b *backup) writeArchive(ctx context.Context, w io.Writer, r *operation.Run) error {
	m, be, err := b.s.realised(b.name)
	if err != nil {
		return err
	}
	exporter, err := backends.Require[backends.Exporter](be, "back up VMs")
	if err != nil {
		return err
	}
	own, err := b.s.ssh.PublicKey()
	if err != nil {
		return err
	}
	files, err := b.s.machines.Archive(b.name, b.args.Identity, own)
	if err != nil {
		return err
	}
	rec := b.s.recordOf(b.name)
	if rec == nil {
		return notFound(b.name)
	}
	if b.args.Crashed {
		r.Warn(b.name + " was not shut down: the backup is crash-consistent")
	}
	from := backends.Source{VM: b.s.ref(b.name), Snapshot: b.args.Snapshot}
	return exporter.Export(ctx, from, func(d backends.Disk) error {
		manifest := archive.Manifest{
			Machine: b.name, Created: b.args.Created, Writer: version.String(), Mode: string(m.Mode),
			Backend: archive.Origin{Name: be.Name(), Type: be.Type()}, Image: archivedImage(rec.Image),
			Consistent: !b.crash && !b.args.Crashed, Identity: b.args.Identity, Generation: rec.Generation,
			Disk: archive.Disk{Size: d.Size, Bytes: d.Bytes},
		}
		return archive.Write(w, manifest, files, reading(ctx, d, r.Report, "writing the backup", d.Bytes))
	})
}

func archivedImage(i inventory.Image) archive.Image {
	return archive.Image{Kind: i.Kind, ID: i.ID, Distro: i.Distro, Version: i.Version, Profiles: i.Profiles}
}

// reading reports how much of total bytes has been read, and ends with ctx.
func reading(ctx context.Context, from io.Reader, report progress.Reporter, message string, total int64) io.Reader {
	return &reader{ctx: ctx, from: from, report: report, update: progress.Update{Vertex: "backup", Message: message, Unit: "bytes", Total: total}}
}

type reader struct {
	ctx    context.Context //nolint:containedctx // io.Reader has no other way
	from   io.Reader
	report progress.Reporter
	update progress.Update
}

func (r *reader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	n, err := r.from.Read(p)
	if n > 0 {
		r.update.Current += int64(n)
		r.report.Report(r.update)
	}
	return n, err
}
