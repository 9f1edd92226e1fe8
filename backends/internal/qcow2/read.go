package qcow2

import (
	"bytes"
	"cmp"
	"compress/flate"
	"fmt"
	"io"
	"slices"
)

// run is a number of clusters of Stream's size that follow each other.
type run struct{ first, count int64 }

// allocated are the clusters, of the size that Stream writes, which hold something.
func (i *Image) allocated() ([]run, error) {
	if i.raw {
		return []run{{0, ceil(i.Size, clusterSize)}}, nil
	}
	all, err := i.own()
	if err != nil || i.base == nil {
		return all, err
	}
	below, err := i.base.allocated()
	if err != nil {
		return nil, err
	}
	below = cut(below, ceil(i.Size, clusterSize))
	return merge(append(all, below...)), nil
}

// cut leaves out what is not before cluster end.
func cut(runs []run, end int64) []run {
	for n := range runs {
		if r := &runs[n]; r.first >= end {
			return runs[:n]
		} else if r.first+r.count > end {
			r.count = end - r.first
		}
	}
	return runs
}

// merge orders runs, and joins those that touch or overlap.
func merge(runs []run) []run {
	slices.SortFunc(runs, func(a, b run) int { return cmp.Compare(a.first, b.first) })
	var all []run
	for _, r := range runs {
		all = extend(all, r.first, r.first+r.count-1)
	}
	return all
}

// extend adds the clusters from first to last, both included, to runs that begin before.
func extend(all []run, first, last int64) []run {
	if n := len(all); n > 0 && all[n-1].first+all[n-1].count >= first {
		all[n-1].count = max(all[n-1].count, last-all[n-1].first+1)
		return all
	}
	return append(all, run{first, last - first + 1})
}

// own are the clusters that the image itself holds.
func (i *Image) own() ([]run, error) {
	var all []run
	unit := int64(1) << i.bits
	for n := range i.l1 {
		at := int64(n) << (i.bits + i.bits - 3) // address of what the table is about
		if at >= i.Size {
			break
		}
		if i.l1[n]&offsetMask == 0 {
			continue
		}
		if err := i.load(int64(i.l1[n] & offsetMask)); err != nil {
			return nil, err
		}
		for _, entry := range i.l2 {
			if at >= i.Size {
				break
			}
			if holds(entry) {
				all = extend(all, at>>clusterBits, (min(at+unit, i.Size)-1)>>clusterBits)
			}
			at += unit
		}
	}
	return all, nil
}

// holds reports whether a cluster has content: neither unallocated nor all zero.
func holds(entry uint64) bool {
	return entry&compressed != 0 || entry&zeroFlag == 0 && entry&offsetMask != 0
}

// load makes the L2 table at an offset the current one.
func (i *Image) load(at int64) error {
	if i.l2From == at {
		return nil
	}
	table, err := readTable(i.file, at, 1<<(i.bits-3))
	if err != nil {
		return fmt.Errorf("read an L2 table: %w", err)
	}
	i.l2, i.l2From = table, at
	return nil
}

// entry is the L2 entry of an address of the disk; 0 where there is nothing.
func (i *Image) entry(at int64) (uint64, error) {
	n := at >> (i.bits + i.bits - 3)
	if n >= int64(len(i.l1)) || i.l1[n]&offsetMask == 0 {
		return 0, nil
	}
	if err := i.load(int64(i.l1[n] & offsetMask)); err != nil {
		return 0, err
	}
	return i.l2[at>>i.bits&(1<<(i.bits-3)-1)], nil
}

// ReadAt reads the content of the disk; beyond its end it is zeros.
func (i *Image) ReadAt(p []byte, at int64) (int, error) {
	done := 0
	for done < len(p) {
		n, err := i.part(p[done:], at+int64(done))
		if err != nil {
			return done, err
		}
		done += n
	}
	return done, nil
}

// part reads the beginning of p: as much as lies together in the file.
func (i *Image) part(p []byte, at int64) (int, error) {
	if at >= i.Size {
		clear(p)
		return len(p), nil
	}
	p = p[:min(int64(len(p)), i.Size-at)]
	if i.raw {
		return len(p), readFull(i.file, at, p)
	}
	entry, err := i.entry(at)
	if err != nil {
		return 0, err
	}
	unit := int64(1) << i.bits
	within := at & (unit - 1)
	n := min(int64(len(p)), unit-within)
	switch {
	case entry&compressed != 0:
		data, err := i.unpack(entry)
		if err != nil {
			return 0, err
		}
		return copy(p[:n], data[within:]), nil
	case i.base != nil && entry&(zeroFlag|offsetMask) == 0:
		return i.base.ReadAt(p[:n], at)
	case !holds(entry):
		clear(p[:n])
		return int(n), nil
	}
	host := int64(entry & offsetMask)
	for next := host + unit; n < int64(len(p)); next += unit {
		e, err := i.entry(at + n)
		if err != nil {
			return 0, err
		}
		if e&compressed != 0 || !holds(e) || int64(e&offsetMask) != next {
			break
		}
		n = min(int64(len(p)), n+unit)
	}
	return int(n), readFull(i.file, host+within, p[:n])
}

// unpack is the content of a compressed cluster.
func (i *Image) unpack(entry uint64) ([]byte, error) {
	if i.from == entry && i.packed != nil {
		return i.packed, nil
	}
	bits := 62 - (i.bits - 8) // of the offset
	at := int64(entry & (1<<bits - 1))
	sectors := int64(entry>>bits&(1<<(62-bits)-1)) + 1
	b := make([]byte, sectors*512-at&511)
	n, err := i.file.ReadAt(b, at)
	if n == 0 { // the last one may end before its last sector does
		return nil, fmt.Errorf("read a compressed cluster: %w", err)
	}
	data := make([]byte, 1<<i.bits)
	if _, err := io.ReadFull(flate.NewReader(bytes.NewReader(b[:n])), data); err != nil {
		return nil, invalid("a compressed cluster: %v", err)
	}
	i.packed, i.from = data, entry
	return data, nil
}
