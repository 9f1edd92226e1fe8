// Package archive reads and writes the archives of machines: backups and exports.
//
// An archive is a tar file compressed with zstd, so that it can be taken apart without
// nixvm (tar --zstd -xf). It has these members, in this order:
//
//	nixvm.json       the manifest
//	machine/FILE     files of the machine directory
//	disk.qcow2       the state disk
//	SHA256SUMS       the digests of all others, as sha256sum(1) writes them
//
// An archive may come from anywhere. [Reader] accepts these members only, checks each
// length against the manifest and a limit before it reads what follows, and writes
// nothing: no name of an archive ever becomes a path. What the disk contains is not its
// concern.
package archive

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"
)

// Suffix of the names of archives.
const Suffix = ".nixvm.tar.zst"

// Format is the version of the format that is written. Later ones are refused.
const Format = 1

// Names of the members.
const (
	manifestName = "nixvm.json"
	machineDir   = "machine/"
	diskName     = "disk.qcow2"
	sumsName     = "SHA256SUMS"
)

// Limits of what is read.
const (
	maxManifest = 64 << 10
	maxFile     = 64 << 10 // as in a machine directory
	maxFiles    = 64
	maxDisk     = 64 << 40 // virtual size, bytes
	// maxRatio is how much more than itself an archive may unpack to: no state disk
	// with a file system on it compresses as well.
	maxRatio = 8192
	// always unpacks, whatever the ratio: the tables of an empty disk.
	always = 64 << 20
)

// fileName is what the file of a machine directory may be called.
var fileName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// ErrInvalid is within the error of an archive that is damaged, cut off, or none.
var ErrInvalid = errors.New("the archive is damaged or not one of nixvm")

// ErrFormat is within the error of an archive of a later version.
var ErrFormat = errors.New("the archive was written by a later version of nixvm")

// Manifest says what is in an archive.
type Manifest struct {
	Format  int       `json:"format"`
	Machine string    `json:"machine"`
	Created time.Time `json:"created"` // when the state of the disk was taken
	Writer  string    `json:"writer"`  // the version of nixvm
	Mode    string    `json:"mode"`
	Backend Origin    `json:"backend"`
	Image   Image     `json:"image"`
	// Consistent: the file systems were frozen, or the VM was off.
	Consistent bool `json:"consistent"`
	// Identity: the host key and the hash of the root password are among the files.
	Identity bool `json:"identity"`
	// Generation of the identity medium: the disk may remember it.
	Generation uint64 `json:"generation"`
	Disk       Disk   `json:"disk"`
}

// Origin is the backend that the VM was on.
type Origin struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// Image is what the boot disk was made from.
type Image struct {
	Kind     string `json:"kind"`
	ID       string `json:"id"`
	Distro   string `json:"distro"`
	Version  string `json:"version"`
	Profiles string `json:"profiles"`
}

// Disk is the state disk: its virtual size, and the length of the member, in bytes.
type Disk struct {
	Size  int64 `json:"size"`
	Bytes int64 `json:"bytes"`
}

// parseManifest reads and checks a manifest.
func parseManifest(b []byte) (Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return m, invalid("%s: %v", manifestName, err)
	}
	switch {
	case m.Format > Format:
		return m, fmt.Errorf("%w: its format is %d, this one reads %d", ErrFormat, m.Format, Format)
	case m.Format < 1:
		return m, invalid("%s names no format", manifestName)
	case m.Disk.Size <= 0 || m.Disk.Size > maxDisk || m.Disk.Bytes <= 0 || m.Disk.Bytes > 2*maxDisk:
		return m, invalid("%s: a disk of %d bytes in %d", manifestName, m.Disk.Size, m.Disk.Bytes)
	}
	return m, nil
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}
