package isofs

import (
	"encoding/binary"
	"errors"
)

// errVolume is what is read of anything that Build has not made.
var errVolume = errors.New("not a volume made by nixvm, or a damaged one")

// maxFiles bounds what is read of a volume.
const maxFiles = 100

// Read returns the files of a volume that Build has made, in its order and without
// their permissions. Any other input is an error, or gives files of its own; it
// never reads beyond the image.
func Read(image []byte) ([]File, error) {
	const root = primarySector*sector + 156 // the root's record, ECMA-119 section 8.4.18
	if len(image) < (rootSector+1)*sector || string(image[primarySector*sector:][:7]) != "\x01CD001\x01" {
		return nil, errVolume
	}
	total := int64(binary.LittleEndian.Uint32(image[primarySector*sector+80:]))
	if total*sector > int64(len(image)) {
		return nil, errVolume
	}
	dir, err := extent(image, image[root:])
	if err != nil {
		return nil, err
	}
	var files []File
	for at := 0; at < len(dir); {
		size := int(dir[at])
		if size == 0 { // the rest of the sector
			at += sector - at%sector
			continue
		}
		if size < 34 || at+size > len(dir) || len(files) == maxFiles {
			return nil, errVolume
		}
		record := dir[at : at+size]
		at += size
		if record[25]&2 != 0 { // the directory itself, and its parent
			continue
		}
		data, err := extent(image, record)
		if err != nil {
			return nil, err
		}
		name, ok := longName(record)
		if !ok || !nameRE.MatchString(name) {
			return nil, errVolume
		}
		files = append(files, File{Name: name, Data: data})
	}
	return files, nil
}

// extent is the content that a directory record points to.
func extent(image, record []byte) ([]byte, error) {
	first := int64(binary.LittleEndian.Uint32(record[2:])) * sector
	size := int64(binary.LittleEndian.Uint32(record[10:]))
	if first+size > int64(len(image)) {
		return nil, errVolume
	}
	return image[first : first+size], nil
}

// longName is the NM field of a record.
func longName(record []byte) (string, bool) {
	id := int(record[32])
	at := 33 + id + (id+1)%2
	for at+4 <= len(record) {
		size := int(record[at+2])
		if size < 5 || at+size > len(record) {
			return "", false
		}
		if record[at] == 'N' && record[at+1] == 'M' {
			return string(record[at+5 : at+size]), true
		}
		at += size
	}
	return "", false
}
