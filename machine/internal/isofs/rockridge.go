package isofs

// POSIX file types, as PX has them.
const (
	modeDir  = 0o040000
	modeFile = 0o100000
)

// field is one system use field, SUSP section 4: signature, length, version, data.
func field(signature string, data []byte) []byte {
	return append([]byte{signature[0], signature[1], byte(4 + len(data)), 1}, data...)
}

// sp says, in the first record of the root, that the volume uses SUSP.
func sp() []byte { return field("SP", []byte{0xbe, 0xef, 0}) }

// ce points to where the record's fields go on.
func ce(sector, size int) []byte {
	return field("CE", both32(both32(both32(nil, uint32(sector)), 0), uint32(size)))
}

// px holds mode, links, and owner: root, group root.
func px(mode, links uint32) []byte {
	return field("PX", both32(both32(both32(both32(nil, mode), links), 0), 0))
}

// tf holds the times of modification, access and attribute change.
func tf() []byte {
	const modify, access, attributes = 1 << 1, 1 << 2, 1 << 3
	b := []byte{modify | access | attributes}
	for range 3 {
		b = append(b, shortTime()...)
	}
	return field("TF", b)
}

// nm holds the whole name.
func nm(name string) []byte { return field("NM", append([]byte{0}, name...)) }

// extensions is the ER field: the fields above are those of RRIP 1.09. The texts
// are the ones that the specification fixes.
func extensions() []byte {
	const id = "RRIP_1991A"
	const description = "THE ROCK RIDGE INTERCHANGE PROTOCOL PROVIDES SUPPORT FOR POSIX FILE SYSTEM SEMANTICS"
	const source = "PLEASE CONTACT DISC PUBLISHER FOR SPECIFICATION SOURCE.  SEE PUBLISHER IDENTIFIER IN PRIMARY VOLUME DESCRIPTOR FOR CONTACT INFORMATION."
	b := []byte{byte(len(id)), byte(len(description)), byte(len(source)), 1}
	return field("ER", append(b, id+description+source...))
}
