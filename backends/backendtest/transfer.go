package backendtest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"testing/iotest"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/qcow2"
	"github.com/nixvm/nixvm/internal/problem"
)

// exported reads out a disk into memory.
func (s *suite) exported(from backends.Source) (image []byte, size int64) {
	s.Helper()
	s.must(as[backends.Exporter](s).Export(s.limit(), from, func(d backends.Disk) (err error) {
		size = d.Size
		image, err = io.ReadAll(d)
		if err == nil && int64(len(image)) != d.Bytes {
			s.Errorf("a disk of %d bytes has %d", d.Bytes, len(image))
		}
		return err
	}), "Export")
	return image, size
}

// diskIn is a disk in memory.
func diskIn(image []byte, size int64) backends.Disk {
	return backends.Disk{Reader: bytes.NewReader(image), Bytes: int64(len(image)), Size: size}
}

// plainSize is that of the disk of plain, in bytes.
const plainSize = 256 << 20

// plain is a new state disk, as another backend would export it.
func plain(s *suite) []byte {
	s.Helper()
	image, err := io.ReadAll(qcow2.Plain(backends.NewDiskHead(), plainSize))
	s.must(err, "a new disk")
	return image
}

// testTransfer needs no boot: the disk of a VM that has never run.
func testTransfer(s *suite) {
	const source, name = "conf-export", "conf-import"
	switch {
	case !s.can.Export && s.can.Import:
		s.prepare(s.h.Spec(s.T, name).Image)
		s.importDisk(name, plain(s), plainSize)
		return
	case !s.can.Export:
		s.Skip("this backend exports no disks")
	}
	nothing := func(backends.Disk) error { return nil }
	exporter := as[backends.Exporter](s)
	s.refused(exporter.Export(s.limit(), backends.Source{VM: backends.Named(source)}, nothing), problem.VMNotFound, "Export of a VM that does not exist")
	s.refused(exporter.Export(s.limit(), backends.Source{VM: backends.Named("../x")}, nothing), problem.MachineNameInvalid, "Export of a bad name")
	spec := s.create(source)
	s.snapshot(source, backends.SnapshotRequest{Name: "kept"})
	s.refused(exporter.Export(s.limit(), backends.Source{VM: backends.Named(source), Snapshot: "nosuch"}, nothing), problem.SnapshotNotFound, "Export of a snapshot that does not exist")
	failed := errors.New("the reader fails")
	if err := exporter.Export(s.limit(), backends.Source{VM: backends.Named(source)}, func(backends.Disk) error { return failed }); !errors.Is(err, failed) {
		s.Errorf("Export = %v, want the error of what reads", err)
	}
	image, size := s.exported(backends.Source{VM: backends.Named(source)})
	if size != spec.DiskBytes {
		s.Errorf("a disk of %d bytes is exported as one of %d", spec.DiskBytes, size)
	}
	if again, _ := s.exported(backends.Source{VM: backends.Named(source), Snapshot: "kept"}); !bytes.Equal(again, image) {
		s.Errorf("the snapshot of a disk that has not changed is another one")
	}
	if s.can.RewriteDisk {
		s.rewrite(source, image, size)
	}
	if s.can.Import {
		s.importDisk(name, image, size)
	}
}

// rewrite puts the content of a disk back onto itself.
func (s *suite) rewrite(name string, image []byte, size int64) {
	s.Helper()
	rewriter := as[backends.DiskRewriter](s)
	s.refused(rewriter.RewriteDisk(s.limit(), backends.Named("conf-nosuch"), diskIn(image, size), nil), problem.VMNotFound, "RewriteDisk of a VM that does not exist")
	s.refused(rewriter.RewriteDisk(s.limit(), backends.Named(name), diskIn(image[:len(image)-1], size), nil), problem.ArchiveInvalid, "RewriteDisk with a damaged disk")
	if same, _ := s.exported(backends.Source{VM: backends.Named(name)}); !bytes.Equal(same, image) {
		s.Errorf("a damaged disk that was refused has changed the disk")
	}
	s.must(rewriter.RewriteDisk(s.limit(), backends.Named(name), diskIn(image, size), nil), "RewriteDisk")
	s.snapshotNames(name, "kept")
	if _, got := s.exported(backends.Source{VM: backends.Named(name)}); got != size {
		s.Errorf("a disk of %d bytes has %d after RewriteDisk", size, got)
	}
}

func (s *suite) importDisk(name string, image []byte, size int64) {
	s.Helper()
	importer := as[backends.Importer](s)
	spec := s.h.Spec(s.T, name)
	spec.DiskBytes = 2 * size
	header := slices.Clone(image)
	header[9] = 1 // the offset of a backing file
	damaged := errors.New("the sum differs")
	for what, d := range map[string]backends.Disk{
		"an empty disk":         diskIn(nil, size),
		"a disk that ends":      {Reader: bytes.NewReader(image[:len(image)-1]), Bytes: int64(len(image)), Size: size},
		"another header":        diskIn(header, size),
		"no image at all":       diskIn(make([]byte, len(image)), size),
		"a disk without tables": diskIn(image[:64<<10], size),
	} {
		s.refused(importer.Import(s.limit(), spec, d, nil), problem.ArchiveInvalid, "Import of "+what)
		s.state(name, backends.Absent)
	}
	d := diskIn(image, size)
	d.Reader = io.MultiReader(d.Reader, iotest.ErrReader(damaged))
	if err := importer.Import(s.limit(), spec, d, nil); !errors.Is(err, damaged) {
		s.Errorf("Import of a disk whose end is an error = %v", err)
	}
	s.state(name, backends.Absent)
	smaller := spec
	smaller.DiskBytes = size / 2
	s.refused(importer.Import(s.limit(), smaller, diskIn(image, size), nil), problem.SizeInvalid, "Import of a larger disk")
	cancelled, cancel := context.WithCancel(s.ctx)
	cancel()
	if err := importer.Import(cancelled, spec, diskIn(image, size), nil); err == nil {
		s.Errorf("Import with a cancelled context succeeds")
	}
	s.state(name, backends.Absent)

	mark := s.events.mark()
	s.must(importer.Import(s.limit(), spec, diskIn(image, size), nil), "Import")
	s.destroyAtEnd(name)
	s.becomes(mark, name, backends.Stopped)
	s.refused(importer.Import(s.limit(), spec, diskIn(image, size), nil), problem.VMExists, "Import to a name in use")
	s.reopen()
	s.state(name, backends.Stopped)
	s.snapshotNames(name)
	if !s.can.Export {
		return
	}
	if _, got := s.exported(backends.Source{VM: backends.Named(name)}); got != 2*size {
		s.Errorf("the disk has %d bytes, want %d", got, 2*size)
	}
}
