package qcow2

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"

	"github.com/nixvm/nixvm/backends"
)

// Receive copies a disk to w, and refuses with [ErrInvalid] what Stream would not have
// written: then what w has got is to be thrown away. It reads the disk to its end.
func Receive(w io.Writer, disk backends.Disk) error {
	if disk.Bytes <= 0 || disk.Bytes%clusterSize != 0 || disk.Size <= 0 || disk.Size > maxSize || disk.Size%512 != 0 {
		return invalid("%d bytes with a disk of %d bytes", disk.Bytes, disk.Size)
	}
	c := &checker{
		from: io.LimitReader(disk.Reader, disk.Bytes), w: w,
		layout: layoutOf(disk.Size, disk.Bytes/clusterSize), piece: make([]byte, clusterSize),
	}
	if c.layout.l2At() > c.layout.clusters {
		return invalid("%d bytes cannot hold the tables", disk.Bytes)
	}
	if err := c.tables(); err != nil {
		return err
	}
	n, err := io.CopyBuffer(struct{ io.Writer }{w}, c.from, make([]byte, chunk*clusterSize))
	if want := (c.layout.clusters - c.data) * clusterSize; err == nil && n != want {
		return invalid("it ends after %d of %d bytes of data", n, want)
	}
	if err != nil {
		return err
	}
	// What verifies the whole does so at the end of what it reads.
	if n, err := io.CopyN(io.Discard, disk.Reader, 1); n != 0 {
		return invalid("more follows after the disk")
	} else if !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// checker passes on an image, and compares what is before its data.
type checker struct {
	from   io.Reader
	w      io.Writer
	layout layout
	piece  []byte
	data   int64 // cluster where the data begins, from tables on
}

// next reads a cluster and passes it on.
func (c *checker) next() error {
	if _, err := io.ReadFull(c.from, c.piece); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return invalid("it ends within its tables")
		}
		return err
	}
	_, err := c.w.Write(c.piece)
	return err
}

// same reads a cluster that can only be this one.
func (c *checker) same(want []byte, what string) error {
	if err := c.next(); err != nil {
		return err
	}
	if !bytes.Equal(c.piece, want) {
		return invalid("%s is another one", what)
	}
	return nil
}

// tables reads everything before the data.
func (c *checker) tables() error {
	l := c.layout
	if err := c.same(l.head(), "the header"); err != nil {
		return err
	}
	for n := range l.table {
		if err := c.same(l.refTable(n), "the refcount table"); err != nil {
			return err
		}
	}
	for n := range l.blocks {
		if err := c.same(l.refBlock(n), "a refcount block"); err != nil {
			return err
		}
	}
	used, err := c.l1()
	if err != nil {
		return err
	}
	c.data = l.l2At() + int64(len(used))
	at := c.data
	for _, table := range used {
		if at, err = c.l2(table, at); err != nil {
			return err
		}
	}
	if at != l.clusters {
		return invalid("its tables name %d clusters of data, it has %d", at-c.data, l.clusters-c.data)
	}
	return nil
}

// l1 reads the L1 table and returns the numbers of the entries that are used.
func (c *checker) l1() ([]int64, error) {
	var used []int64
	l := c.layout
	for n := range l.l1 {
		if err := c.next(); err != nil {
			return nil, err
		}
		for i := range int64(l2Entries) {
			entry := binary.BigEndian.Uint64(c.piece[i*8:])
			if entry == 0 {
				continue
			}
			number, at := n*l2Entries+i, l.l2At()+int64(len(used))
			if number >= l.l1Entries() || at >= l.clusters || entry != uint64(at*clusterSize)|copied {
				return nil, invalid("entry %d of the L1 table", number)
			}
			used = append(used, number)
		}
	}
	return used, nil
}

// l2 reads the L2 table with that number, whose data begins at a cluster, and returns
// where that of the next one does.
func (c *checker) l2(number, at int64) (int64, error) {
	if err := c.next(); err != nil {
		return 0, err
	}
	first := at
	for i := range int64(l2Entries) {
		entry := binary.BigEndian.Uint64(c.piece[i*8:])
		if entry == 0 {
			continue
		}
		address := (number*l2Entries + i) * clusterSize
		if address >= c.layout.size || at >= c.layout.clusters || entry != uint64(at*clusterSize)|copied {
			return 0, invalid("entry %d of L2 table %d", i, number)
		}
		at++
	}
	if at == first {
		return 0, invalid("L2 table %d is empty", number)
	}
	return at, nil
}
