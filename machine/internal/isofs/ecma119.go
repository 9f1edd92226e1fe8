package isofs

import (
	"encoding/binary"
	"strings"
)

// record is a directory record, ECMA-119 section 9.1.
type record struct {
	id     string
	sector int
	size   int
	dir    bool
	susp   []byte // the system use area
}

func (r record) bytes() []byte {
	id := []byte(r.id)
	if len(id)%2 == 0 {
		id = append(id, 0) // the system use area begins at an even offset
	}
	n := 33 + len(id) + len(r.susp)
	n += n % 2
	b := make([]byte, 0, n)
	b = append(b, byte(n), 0) // no extended attributes
	b = both32(b, uint32(r.sector))
	b = both32(b, uint32(r.size))
	b = append(b, shortTime()...)
	flags := byte(0)
	if r.dir {
		flags = 2
	}
	b = append(b, flags, 0, 0) // not interleaved
	b = both16(b, 1)           // volume 1 of the set
	b = append(b, byte(len(r.id)))
	b = append(b, id...)
	b = append(b, r.susp...)
	return b[:n]
}

// primary is the primary volume descriptor, ECMA-119 section 8.4.
func primary(label string, total, dirSize int) []byte {
	b := append(make([]byte, 0, sector), "\x01CD001\x01\x00"...)
	b = padded(b, "", 32) // system
	b = padded(b, label, 32)
	b = append(b, make([]byte, 8)...)
	b = both32(b, uint32(total))
	b = append(b, make([]byte, 32)...)
	b = both16(b, 1) // volumes in the set
	b = both16(b, 1) // number of this one
	b = both16(b, sector)
	b = both32(b, uint32(len(pathTable(false))))
	b = binary.LittleEndian.AppendUint32(b, pathTableLSector)
	b = binary.LittleEndian.AppendUint32(b, 0) // no second copy
	b = binary.BigEndian.AppendUint32(b, pathTableMSector)
	b = binary.BigEndian.AppendUint32(b, 0)
	b = append(b, record{id: "\x00", sector: rootSector, size: dirSize, dir: true}.bytes()...)
	b = padded(b, "", 128)      // volume set
	b = padded(b, "", 128)      // publisher
	b = padded(b, "", 128)      // preparer
	b = padded(b, "NIXVM", 128) // application
	b = padded(b, "", 3*37)     // copyright, abstract and bibliography files
	for range 2 {               // created, modified
		b = append(append(b, epoch.Format("20060102150405")+"00"...), 0)
	}
	for range 2 { // never expires; effective at once
		b = append(append(b, strings.Repeat("0", 16)...), 0)
	}
	return append(b, 1) // version of the file structure
}

// pathTable has one entry, the root, ECMA-119 section 9.4.
func pathTable(bigEndian bool) []byte {
	b := []byte{1, 0} // length of the name, no extended attributes
	if bigEndian {
		b = binary.BigEndian.AppendUint32(b, rootSector)
		b = binary.BigEndian.AppendUint16(b, 1)
	} else {
		b = binary.LittleEndian.AppendUint32(b, rootSector)
		b = binary.LittleEndian.AppendUint16(b, 1)
	}
	return append(b, 0, 0) // the root's name, padded
}

// shortTime is the epoch in seven bytes, ECMA-119 section 9.1.5.
func shortTime() []byte {
	return []byte{
		byte(epoch.Year() - 1900), byte(epoch.Month()), byte(epoch.Day()),
		byte(epoch.Hour()), byte(epoch.Minute()), byte(epoch.Second()), 0,
	}
}

func padded(b []byte, s string, n int) []byte {
	return append(b, s+strings.Repeat(" ", n-len(s))...)
}

func both16(b []byte, v uint16) []byte {
	return binary.BigEndian.AppendUint16(binary.LittleEndian.AppendUint16(b, v), v)
}

func both32(b []byte, v uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.LittleEndian.AppendUint32(b, v), v)
}
