// Package isofs makes small read-only volumes: one directory of regular files,
// ISO 9660 (ECMA-119) with Rock Ridge, in memory, the same bytes for the same
// input.
//
//	image, err := isofs.Build("NIXVMID", []isofs.File{{Name: "hostname", Data: data, Mode: 0o644}})
//
// Linux shows exactly the given names, with the given permissions, owned by
// root. ISO 9660 alone has no lower case, no hyphen and eight characters, so
// names travel in Rock Ridge's NM fields (RRIP 1.09, which Linux prefers to
// Joliet); permissions and owner in PX, times in TF.
//
// It is ours because neither library of the field gives this: kdomanski/iso9660
// v0.4.0 writes plain ISO 9660, so that machine-id becomes MACHINE_ID, and both
// it and diskfs/go-diskfs v1.9.4 write time.Now() into the volume descriptor,
// which makes every build differ; both also stage the files, here a private
// host key, in a temporary directory. The tests read the volumes with go-diskfs
// and with xorriso.
package isofs

import (
	"bytes"
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"time"
)

// File is one file of the volume. Mode holds permission bits only.
type File struct {
	Name string
	Data []byte
	Mode uint16
}

const sector = 2048

// The volume's layout, in sectors. The first 16 belong to the system.
const (
	primarySector    = 16
	terminatorSector = 17
	pathTableLSector = 18 // little-endian
	pathTableMSector = 19 // big-endian
	erSector         = 20 // the ER field, which does not fit into the root's record
	rootSector       = 21
)

// epoch is every time in the volume: a clock would make two builds differ.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

var (
	nameRE  = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)
	labelRE = regexp.MustCompile(`^[A-Z0-9_]{1,32}$`)
)

// Build returns the volume. Names are 1 to 128 letters, digits, dots, hyphens
// and underscores, each once; the order of files does not matter. The label has
// ISO 9660's d-characters only, at most 32.
func Build(label string, files []File) ([]byte, error) {
	if !labelRE.MatchString(label) {
		return nil, fmt.Errorf("%q is not a volume label", label)
	}
	files = slices.SortedFunc(slices.Values(files), func(a, b File) int { return cmp.Compare(a.Name, b.Name) })
	for i, f := range files {
		if !nameRE.MatchString(f.Name) {
			return nil, fmt.Errorf("%q cannot be a file name on the volume", f.Name)
		}
		if i > 0 && files[i-1].Name == f.Name {
			return nil, fmt.Errorf("two files are named %q", f.Name)
		}
	}
	// Where the data begins depends on the directory's size, which does not
	// depend on where the data is.
	dirSize := len(directory(files, 0, 0))
	next := rootSector + sectors(dirSize)
	dir := directory(files, dirSize, next)
	total := next
	for _, f := range files {
		total += sectors(len(f.Data))
	}
	image := make([]byte, total*sector)
	put := func(at int, data []byte) { copy(image[at*sector:], data) }
	put(primarySector, primary(label, total, dirSize))
	put(terminatorSector, []byte("\xffCD001\x01"))
	put(pathTableLSector, pathTable(false))
	put(pathTableMSector, pathTable(true))
	put(erSector, extensions())
	put(rootSector, dir)
	for _, f := range files {
		put(next, f.Data)
		next += sectors(len(f.Data))
	}
	return image, nil
}

// sectors counts those that n bytes take. An empty file gets one too, so that
// no two files share a place.
func sectors(n int) int { return max(1, (n+sector-1)/sector) }

// directory gives the root directory's sectors: itself twice (the parent of the
// root is the root), then the files in the order of their ISO names.
func directory(files []File, size, first int) []byte {
	self := record{id: "\x00", sector: rootSector, size: size, dir: true}
	parent := self
	parent.id = "\x01"
	links := uint32(2)
	self.susp = slices.Concat(sp(), px(modeDir|0o755, links), tf(), ce(erSector, len(extensions())))
	parent.susp = slices.Concat(px(modeDir|0o755, links), tf())
	records := [][]byte{self.bytes(), parent.bytes()}
	for i, f := range files {
		r := record{id: isoName(i), sector: first, size: len(f.Data)}
		r.susp = slices.Concat(px(modeFile|uint32(f.Mode), 1), tf(), nm(f.Name))
		records = append(records, r.bytes())
		first += sectors(len(f.Data))
	}
	var b bytes.Buffer
	for _, r := range records {
		if left := sector - b.Len()%sector; len(r) > left {
			b.Write(make([]byte, left)) // a record must not cross a sector's end
		}
		b.Write(r)
	}
	if rest := b.Len() % sector; rest != 0 {
		b.Write(make([]byte, sector-rest))
	}
	return b.Bytes()
}

// isoName is a file's name for readers without Rock Ridge: a number, which is
// unique, sorted, and within level 1's eight characters.
func isoName(i int) string { return fmt.Sprintf("%08d.;1", i) }
