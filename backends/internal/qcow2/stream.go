package qcow2

import (
	"bytes"
	"encoding/binary"
	"io"

	"github.com/nixvm/nixvm/backends"
)

// chunk is how much is read at once, in clusters: a volume on another host is
// downloaded in parts of that size.
const chunk = 64

// Stream returns the image as one of our layout. Its Reader reads on from the image.
func Stream(i *Image) (backends.Disk, error) {
	runs, err := i.allocated()
	if err != nil {
		return backends.Disk{}, err
	}
	return newStream(i, i.Size, runs), nil
}

// StreamWith is Stream with some of the content replaced: change gets what was read at a
// place of the disk. Only what the image has stored can be changed.
func StreamWith(i *Image, change func(p []byte, at int64)) (backends.Disk, error) {
	runs, err := i.allocated()
	if err != nil {
		return backends.Disk{}, err
	}
	return newStream(changed{i, change}, i.Size, runs), nil
}

type changed struct {
	io.ReaderAt
	change func(p []byte, at int64)
}

func (c changed) ReadAt(p []byte, at int64) (int, error) {
	n, err := c.ReaderAt.ReadAt(p, at)
	c.change(p[:n], at)
	return n, err
}

// Plain is a disk that begins with content, and is zero behind it.
func Plain(content []byte, size int64) backends.Disk {
	var runs []run
	if n := ceil(int64(len(content)), clusterSize); n > 0 {
		runs = []run{{0, n}}
	}
	padded := make([]byte, ceil(int64(len(content)), clusterSize)*clusterSize)
	copy(padded, content)
	return newStream(bytes.NewReader(padded), size, runs)
}

// newStream is the disk whose clusters of runs, which are in order and apart, have what
// is in content, by their address.
func newStream(content io.ReaderAt, size int64, runs []run) backends.Disk {
	s := &stream{content: content, runs: runs}
	data := int64(0)
	for _, r := range runs {
		data += r.count
		for n := r.first / l2Entries; n <= (r.first+r.count-1)/l2Entries; n++ {
			if last := len(s.used) - 1; last < 0 || s.used[last] != n {
				s.used = append(s.used, n)
			}
		}
	}
	s.layout = layoutFor(size, int64(len(s.used))+data)
	s.next = s.pieces()
	return backends.Disk{Reader: s, Bytes: s.layout.clusters * clusterSize, Size: size}
}

// stream writes an image of our layout, piece by piece.
type stream struct {
	content io.ReaderAt
	runs    []run
	used    []int64 // numbers of the L1 entries that have a table
	layout  layout

	rest []byte                 // of the current piece
	next func() ([]byte, error) // the piece after it; nil at the end
}

// Read implements io.Reader.
func (s *stream) Read(p []byte) (int, error) {
	for len(s.rest) == 0 {
		piece, err := s.next()
		if err != nil {
			return 0, err
		}
		if piece == nil {
			return 0, io.EOF
		}
		s.rest = piece
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// pieces gives the clusters before the data, and then the data.
func (s *stream) pieces() func() ([]byte, error) {
	l, at := s.layout, int64(0)
	tables, data := s.tables(), s.data()
	return func() ([]byte, error) {
		defer func() { at++ }()
		switch {
		case at == 0:
			return l.head(), nil
		case at < l.blocksAt():
			return l.refTable(at - 1), nil
		case at < l.l1At():
			return l.refBlock(at - l.blocksAt()), nil
		case at < l.l2At():
			return s.l1(at - l.l1At()), nil
		case at < s.dataAt():
			return tables(s.used[at-l.l2At()] * l2Entries), nil
		}
		return data()
	}
}

func (s *stream) dataAt() int64 { return s.layout.l2At() + int64(len(s.used)) }

// tables gives the L2 table whose first cluster has that number, and is called for each
// that is used, in order.
func (s *stream) tables() func(first int64) []byte {
	next, run := s.dataAt(), 0
	return func(first int64) []byte {
		b, end := make([]byte, clusterSize), first+l2Entries
		for ; run < len(s.runs) && s.runs[run].first < end; run++ {
			r := s.runs[run]
			for c := max(r.first, first); c < min(r.first+r.count, end); c++ {
				binary.BigEndian.PutUint64(b[(c-first)*8:], uint64(next*clusterSize)|copied)
				next++
			}
			if r.first+r.count > end {
				break // the rest is the next table's
			}
		}
		return b
	}
}

// l1 is cluster n of the L1 table.
func (s *stream) l1(n int64) []byte {
	b := make([]byte, clusterSize)
	for at, entry := range s.used {
		if entry/l2Entries == n {
			binary.BigEndian.PutUint64(b[entry%l2Entries*8:], uint64((s.layout.l2At()+int64(at))*clusterSize)|copied)
		}
	}
	return b
}

// data gives the clusters that hold something.
func (s *stream) data() func() ([]byte, error) {
	run, done := 0, int64(0)
	buffer := make([]byte, chunk*clusterSize)
	return func() ([]byte, error) {
		if run == len(s.runs) {
			return nil, nil
		}
		r := s.runs[run]
		n := min(r.count-done, chunk)
		p := buffer[:n*clusterSize]
		if _, err := s.content.ReadAt(p, (r.first+done)*clusterSize); err != nil {
			return nil, err
		}
		if done += n; done == r.count {
			run, done = run+1, 0
		}
		return p, nil
	}
}
