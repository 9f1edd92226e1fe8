package vm

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/archive"
	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
	"github.com/nixvm/nixvm/sshconfig"
)

// source is an archive that a restore reads.
type source struct {
	File   string `json:"file"`
	Digest string `json:"digest"` // of all but the disk, as the user has seen it
}

// check refuses what no restore was begun with.
func (f source) check() error {
	if !filepath.IsAbs(f.File) {
		return fmt.Errorf("they are about the archive %.80q", f.File)
	}
	return nil
}

// digest is that of all of an archive but the disk.
func digest(a *archive.Reader) (string, error) {
	b, err := json.Marshal(struct {
		Manifest archive.Manifest
		Files    map[string][]byte
	}{a.Manifest, a.Files})
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), err
}

// wanted is what a request to restore is about.
type wanted struct {
	source  source
	head    *archive.Reader // closed
	backup  api.Backup
	foreign bool // the archive is not in our own directory
	name    string
	there   bool // the machine has a VM
}

// archived is what the machine store sees of it: without the client key of the nixvm
// that wrote it, which archives of earlier versions have.
func (w wanted) archived() machine.Archived {
	files, _ := machine.WithoutKeys(w.head.Files, sshconfig.IsClientKey)
	return machine.Archived{Machine: w.head.Manifest.Machine, Files: files, Foreign: w.foreign}
}

// clientKeys counts what archived leaves out.
func (w wanted) clientKeys() int {
	_, n := machine.WithoutKeys(w.head.Files, sshconfig.IsClientKey)
	return n
}

// confirm reports whether the request must repeat the name: the content of a disk is
// replaced, or the archive says what a new VM may reach.
func (w wanted) confirm(s *Service) bool { return w.there || w.foreign && !s.machines.Exists(w.name) }

// want reads an archive up to its disk.
func (s *Service) want(backup, name string) (wanted, error) {
	path, foreign, err := s.findBackup(backup)
	if err != nil {
		return wanted{}, err
	}
	f, a, err := s.openArchive(path)
	if err != nil {
		return wanted{}, err
	}
	defer f.Close()
	defer a.Close()
	w := wanted{source: source{File: path}, head: a, foreign: foreign, name: cmp.Or(name, a.Manifest.Machine)}
	if err := names.Machine(w.name); err != nil {
		return w, fmt.Errorf("the archive is of machine %.80q: %w", w.name, err)
	}
	if w.backup, err = s.describeArchive(f, a); err != nil {
		return w, err
	}
	w.source.Digest, err = digest(a)
	w.there = s.recordOf(w.name) != nil
	return w, err
}

// readDisk calls fn with the disk of an archive, which must still be the one that the
// operation was begun with.
func (s *Service) readDisk(ctx context.Context, from source, fn func(backends.Disk) error) error {
	f, a, err := s.openArchive(from.File)
	if err != nil {
		return err
	}
	defer f.Close()
	defer a.Close()
	now, err := digest(a)
	if err != nil {
		return err
	}
	if now != from.Digest {
		return problem.New(problem.ArchiveInvalid, "%s is another archive than the one that was confirmed", from.File).WithHint("repeat the request")
	}
	// What reads the disk reports how far it is.
	err = fn(backends.Disk{Reader: untilDone{ctx, a.Disk}, Bytes: a.Manifest.Disk.Bytes, Size: a.Manifest.Disk.Size})
	return archiveProblem(from.File, err)
}

// untilDone ends with its context.
type untilDone struct {
	ctx context.Context //nolint:containedctx // io.Reader has no other way
	io.Reader
}

func (u untilDone) Read(p []byte) (int, error) {
	if u.ctx.Err() != nil {
		return 0, context.Cause(u.ctx)
	}
	return u.Reader.Read(p)
}

// importsDisks completes "backend lab cannot ...".
const importsDisks = "import disks"
