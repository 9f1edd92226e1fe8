// Package qcow2 carries state disks out of backends and into them as qcow2 images
// of one fixed layout.
//
// [Open] reads an image of any layout, as it is or as it was at an internal
// snapshot, through an io.ReaderAt: a file of this host, or a volume of another one
// that is downloaded in parts. The clusters of a snapshot do not change, so an image
// that a running QEMU writes to can be read at a snapshot. [Stream] gives what was
// opened as an image that is written from its first byte to its last, without the
// snapshots, with every allocated cluster in the order of its address:
//
//	header | refcount table | refcount blocks | L1 table | L2 tables | data
//
// [Receive] accepts such images only. An image from elsewhere can name files of the
// host as its backing or data file, and its tables can point anywhere; one that is,
// up to the data, byte for byte what Stream would have written can do neither.
//
// The format is described in docs/interop/qcow2.txt of QEMU.
package qcow2

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrUnsupported is within the error of an image that has what Open cannot read: a
// backing file, an external data file, encryption or subclusters.
var ErrUnsupported = errors.New("this qcow2 image cannot be read here")

// ErrInvalid is within the error of data that is damaged or no image of our layout.
var ErrInvalid = errors.New("the disk is damaged or was not written by nixvm")

const (
	magic        = 0x514649fb // "QFI\xfb"
	headerLength = 104        // of version 3

	clusterBits = 16 // of the images that Stream writes
	clusterSize = 1 << clusterBits
	l2Entries   = clusterSize / 8
	refEntries  = clusterSize / 2 // refcounts have 16 bits

	copied     = 1 << 63 // in L1 and L2 entries: the refcount is 1
	compressed = 1 << 62
	zeroFlag   = 1
	offsetMask = 0x00fffffffffffe00
)

// maxSize is the largest virtual size in bytes: what ext4 and machine files allow.
const maxSize = 64 << 40

func ceil(n, unit int64) int64 { return (n + unit - 1) / unit }

// layout is where the parts of an image begin, in clusters. It follows from the virtual
// size and the number of clusters.
type layout struct {
	size     int64 // virtual, bytes
	clusters int64 // of the whole image

	table  int64 // clusters of the refcount table, from cluster 1 on
	blocks int64 // refcount blocks
	l1     int64 // clusters of the L1 table
}

func (l layout) blocksAt() int64 { return 1 + l.table }
func (l layout) l1At() int64     { return l.blocksAt() + l.blocks }
func (l layout) l2At() int64     { return l.l1At() + l.l1 }

// l1Entries is how many L2 tables the virtual size needs.
func (l layout) l1Entries() int64 { return ceil(l.size, clusterSize*l2Entries) }

// layoutOf is the layout of an image with that many clusters.
func layoutOf(size, clusters int64) layout {
	l := layout{size: size, clusters: clusters}
	l.blocks = ceil(clusters, refEntries)
	l.table = ceil(l.blocks, l2Entries)
	l.l1 = ceil(l.l1Entries(), l2Entries)
	return l
}

// layoutFor is the layout of an image with content clusters of L2 tables and data.
func layoutFor(size, content int64) layout {
	l := layoutOf(size, 0)
	for {
		next := layoutOf(size, 1+l.table+l.blocks+l.l1+content)
		if next == l {
			return l
		}
		l = next
	}
}

// head is the first cluster.
func (l layout) head() []byte {
	b := make([]byte, clusterSize)
	be := binary.BigEndian
	be.PutUint32(b[0:], magic)
	be.PutUint32(b[4:], 3)
	be.PutUint32(b[20:], clusterBits)
	be.PutUint64(b[24:], uint64(l.size))
	be.PutUint32(b[36:], uint32(l.l1Entries()))
	be.PutUint64(b[40:], uint64(l.l1At()*clusterSize))
	be.PutUint64(b[48:], clusterSize) // refcount table
	be.PutUint32(b[56:], uint32(l.table))
	be.PutUint32(b[96:], 4) // refcount order: 16 bits
	be.PutUint32(b[100:], headerLength)
	return b
}

// refTable is cluster n of the refcount table.
func (l layout) refTable(n int64) []byte {
	b := make([]byte, clusterSize)
	for i := range int64(l2Entries) {
		if at := n*l2Entries + i; at < l.blocks {
			binary.BigEndian.PutUint64(b[i*8:], uint64((l.blocksAt()+at)*clusterSize))
		}
	}
	return b
}

// refBlock is refcount block n: each cluster of the image is used once.
func (l layout) refBlock(n int64) []byte {
	b := make([]byte, clusterSize)
	for i := range min(refEntries, l.clusters-n*refEntries) {
		b[i*2+1] = 1
	}
	return b
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}
