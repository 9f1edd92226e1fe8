package statedisk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// label is that of the file system of /var: docs/guest-contract.md, "Disks".
const label = "var"

// Fields of an ext4 superblock (kernel documentation, filesystems/ext4/super.rst).
const (
	superAt       = 1024 // from the start of the partition
	superSize     = 1024
	superMagic    = 0x38
	superIncompat = 0x60
	superROCompat = 0x64
	superLabel    = 0x78
	superChecksum = 0x3fc

	needsRecovery = 0x4   // of superIncompat: its journal has to be replayed
	hasExtents    = 0x40  // of superIncompat: ext2 and ext3 have none
	metadataCsum  = 0x400 // of superROCompat
)

// patch is what a copy has instead of what is on the disk.
type patch struct {
	at   int64
	data []byte
}

// apply lays it over p, which was read at a place of the disk.
func (c *patch) apply(p []byte, at int64) {
	from, to := max(at, c.at), min(at+int64(len(p)), c.at+int64(len(c.data)))
	if from < to {
		copy(p[from-at:to-at], c.data[from-c.at:to-c.at])
	}
}

// relabel is the change after which the file system of the first partition has the
// label; nil = it has it.
func relabel(disk io.ReaderAt, size int64) (*patch, error) {
	start, err := firstPartition(disk, size)
	if err != nil {
		return nil, err
	}
	super := make([]byte, superSize)
	if start > size-superAt-superSize {
		return nil, errors.New("its first partition is behind its end")
	}
	if _, err := disk.ReadAt(super, start+superAt); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	incompat := le.Uint32(super[superIncompat:])
	switch {
	case le.Uint16(super[superMagic:]) != 0xef53 || incompat&hasExtents == 0:
		return nil, errors.New("its first partition has no ext4 file system")
	case incompat&needsRecovery != 0:
		return nil, errors.New("its file system was not unmounted; start the VM, and shut it down")
	}
	summed := le.Uint32(super[superROCompat:])&metadataCsum != 0
	if summed && le.Uint32(super[superChecksum:]) != checksum(super) {
		return nil, errors.New("its file system is damaged: the checksum of the superblock is wrong")
	}
	name := super[superLabel : superLabel+16]
	if string(bytes.TrimRight(name, "\x00")) == label {
		return nil, nil
	}
	clear(name)
	copy(name, label)
	if summed {
		le.PutUint32(super[superChecksum:], checksum(super))
	}
	return &patch{at: start + superAt, data: super}, nil
}

// checksum is crc32c without the final inversion.
func checksum(super []byte) uint32 {
	return ^crc32.Checksum(super[:superChecksum], crc32.MakeTable(crc32.Castagnoli))
}

// firstPartition returns the offset in bytes of partition 1 of a GPT.
func firstPartition(disk io.ReaderAt, size int64) (int64, error) {
	const sector = 512
	head := make([]byte, sector)
	if size < 1<<20 {
		return 0, fmt.Errorf("it has %d bytes", size)
	}
	if _, err := disk.ReadAt(head, sector); err != nil {
		return 0, err
	}
	le := binary.LittleEndian
	table := le.Uint64(head[72:])
	if string(head[:8]) != "EFI PART" || table < 2 || table > uint64(size/sector)-1 || le.Uint32(head[80:]) == 0 || le.Uint32(head[84:]) < 128 {
		return 0, errors.New("it has no partition table (GPT)")
	}
	entry := make([]byte, 128)
	if _, err := disk.ReadAt(entry, int64(table)*sector); err != nil {
		return 0, err
	}
	first := le.Uint64(entry[32:])
	if bytes.Equal(entry[:16], make([]byte, 16)) || first < 2 || first > uint64(size/sector)-1 {
		return 0, errors.New("it has no first partition")
	}
	return int64(first) * sector, nil
}
