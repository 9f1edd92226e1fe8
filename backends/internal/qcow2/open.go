package qcow2

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Image is a qcow2 image, or one of its snapshots, that is only read. Its methods must
// not be called at once.
type Image struct {
	Size      int64 // virtual, bytes
	Snapshots int   // how many are in it

	file io.ReaderAt
	base *Image   // what it is an overlay on; nil = nothing
	raw  bool     // file is the content
	bits uint     // of the size of its clusters
	l1   []uint64 // of what is read: the active one, or that of a snapshot

	l2     []uint64 // the table that was used last
	l2From int64    // its offset; 0 = none
	packed []byte   // content of the compressed cluster that was used last
	from   uint64   // its L2 entry; 0 = none
}

// header is what is used of an image's header. Incompatible is there from version 3 on.
type header struct {
	Magic, Version  uint32
	Backing         uint64
	BackingSize     uint32
	ClusterBits     uint32
	Size            uint64
	Crypt           uint32
	L1Size          uint32
	L1Offset        uint64
	RefOffset       uint64
	RefClusters     uint32
	Snapshots       uint32
	SnapshotsOffset uint64
	Incompatible    uint64
}

// harmless are bits of header.Incompatible that say nothing to who only reads: dirty
// refcounts, and that QEMU has once found something corrupt.
const harmless = 1 | 2

// maxL1 is how many entries an L1 table may have: those of maxSize with clusters of 4
// KiB.
const maxL1 = maxSize >> (12 + 9)

// Open reads the tables of an image; snapshot names one of its snapshots, empty = the
// image as it is now, which no process must be writing to. The errors are
// [SnapshotMissingError], [ErrUnsupported], [ErrInvalid] and those of file.
func Open(file io.ReaderAt, snapshot string) (*Image, error) { return OpenOn(file, nil, snapshot) }

// Raw is a raw image of that size, for OpenOn.
func Raw(file io.ReaderAt, size int64) *Image { return &Image{Size: size, file: file, raw: true} }

// OpenOn is Open of an image whose backing file is base, which must not have one itself;
// nil = the image must not have one. What the image says of its backing file is not used.
func OpenOn(file io.ReaderAt, base *Image, snapshot string) (*Image, error) {
	var h header
	if err := readStruct(file, 0, &h); err != nil {
		return nil, fmt.Errorf("read the header: %w", err)
	}
	if base != nil {
		h.Backing = 0
	}
	if err := h.check(); err != nil {
		return nil, err
	}
	i := &Image{base: base, Size: int64(h.Size), Snapshots: int(h.Snapshots), file: file, bits: uint(h.ClusterBits)}
	at, entries := h.L1Offset, int64(h.L1Size)
	if snapshot != "" {
		s, err := find(file, h, snapshot)
		if err != nil {
			return nil, err
		}
		if at, entries = s.L1Offset, int64(s.L1Size); s.size > 0 {
			i.Size = s.size
		}
	}
	if i.Size <= 0 || i.Size > maxSize || i.Size%512 != 0 || entries > maxL1 {
		return nil, invalid("a disk of %d bytes with %d tables", i.Size, entries)
	}
	var err error
	if i.l1, err = readTable(file, int64(at), entries); err != nil {
		return nil, fmt.Errorf("read the L1 table: %w", err)
	}
	return i, nil
}

func (h header) check() error {
	if h.Version == 2 {
		h.Incompatible = 0 // other fields are there
	}
	switch {
	case h.Magic != magic:
		return invalid("it is no qcow2 image")
	case h.Version < 2 || h.Version > 3:
		return fmt.Errorf("%w: version %d", ErrUnsupported, h.Version)
	case h.ClusterBits < 9 || h.ClusterBits > 21:
		return invalid("clusters of 2^%d bytes", h.ClusterBits)
	case h.Backing != 0:
		return fmt.Errorf("%w: it has a backing file", ErrUnsupported)
	case h.Crypt != 0:
		return fmt.Errorf("%w: it is encrypted", ErrUnsupported)
	case h.Incompatible&^harmless != 0:
		return fmt.Errorf("%w: it has the features %#x", ErrUnsupported, h.Incompatible)
	}
	return nil
}

// snapshotHeader is the fixed part of an entry of the snapshot table.
type snapshotHeader struct {
	L1Offset         uint64
	L1Size           uint32
	IDSize, NameSize uint16
	Sec, Nsec        uint32
	Clock            uint64
	StateSize        uint32
	ExtraSize        uint32
}

const snapshotHeaderSize = 40

// snapshot is one entry of the snapshot table.
type snapshot struct {
	snapshotHeader
	size int64 // virtual, bytes; 0 = that of the image
}

// SnapshotMissingError says that an image has no snapshot of that name.
type SnapshotMissingError string

// Error names the snapshot.
func (e SnapshotMissingError) Error() string {
	return fmt.Sprintf("the disk has no snapshot %q", string(e))
}

// find looks for a snapshot by its name.
func find(file io.ReaderAt, h header, name string) (snapshot, error) {
	at := int64(h.SnapshotsOffset)
	for range h.Snapshots {
		var s snapshot
		if err := readStruct(file, at, &s.snapshotHeader); err != nil {
			return s, fmt.Errorf("read the snapshots: %w", err)
		}
		if s.ExtraSize > 1024 {
			return s, invalid("a snapshot with %d bytes of extra data", s.ExtraSize)
		}
		rest := make([]byte, int(s.ExtraSize)+int(s.IDSize)+int(s.NameSize))
		if err := readFull(file, at+snapshotHeaderSize, rest); err != nil {
			return s, fmt.Errorf("read the snapshots: %w", err)
		}
		if s.ExtraSize >= 16 {
			s.size = int64(binary.BigEndian.Uint64(rest[8:]))
		}
		if string(rest[int(s.ExtraSize)+int(s.IDSize):]) == name {
			return s, nil
		}
		at += (snapshotHeaderSize + int64(len(rest)) + 7) &^ 7
	}
	return snapshot{}, SnapshotMissingError(name)
}

func readStruct(file io.ReaderAt, at int64, to any) error {
	b := make([]byte, binary.Size(to))
	if err := readFull(file, at, b); err != nil {
		return err
	}
	return binary.Read(bytes.NewReader(b), binary.BigEndian, to)
}

// readFull reads all of b; what ends before is invalid.
func readFull(file io.ReaderAt, at int64, b []byte) error {
	if at < 0 {
		return invalid("an offset of %d", at)
	}
	n, err := file.ReadAt(b, at)
	switch {
	case n == len(b):
		return nil
	case err == nil || errors.Is(err, io.EOF):
		return invalid("it ends at byte %d", at+int64(n))
	}
	return err
}

// readTable reads an L1 or L2 table.
func readTable(file io.ReaderAt, at, entries int64) ([]uint64, error) {
	b := make([]byte, entries*8)
	if err := readFull(file, at, b); err != nil {
		return nil, err
	}
	table := make([]uint64, entries)
	for n := range table {
		table[n] = binary.BigEndian.Uint64(b[n*8:])
	}
	return table, nil
}
