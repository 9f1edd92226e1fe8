package archive

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// Write writes an archive to w; files are those of the machine directory, by name. It
// reads the disk to its end, which must come after m.Disk.Bytes. m.Format is set.
func Write(w io.Writer, m Manifest, files map[string][]byte, disk io.Reader) error {
	m.Format = Format
	head, err := json.MarshalIndent(m, "", "\t")
	if err != nil {
		return err
	}
	if _, err := parseManifest(head); err != nil || len(head) > maxManifest {
		return errors.Join(errors.New("this manifest cannot be written"), err)
	}
	z := compress(w)
	a := &writer{tar: tar.NewWriter(z), time: m.Created}
	err = a.member(manifestName, int64(len(head)), bytes.NewReader(head))
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err == nil {
			err = a.member(machineDir+name, int64(len(files[name])), bytes.NewReader(files[name]))
		}
	}
	if err == nil {
		err = a.member(diskName, m.Disk.Bytes, disk)
	}
	if err == nil {
		sums := a.sums.String()
		err = a.member(sumsName, int64(len(sums)), strings.NewReader(sums))
	}
	if err == nil {
		err = a.tar.Close()
	}
	// Close reports a failed write of its own again: only the first says where it was.
	if closed := z.Close(); err == nil {
		err = closed
	}
	return err
}

// writer writes the members and collects their digests.
type writer struct {
	tar  *tar.Writer
	time time.Time
	sums strings.Builder
}

func (a *writer) member(name string, length int64, from io.Reader) error {
	err := a.tar.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: name, Size: length, Mode: 0o600, ModTime: a.time.Truncate(time.Second),
	})
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	sum := sha256.New()
	n, err := io.CopyBuffer(a.tar, io.TeeReader(from, sum), make([]byte, copySize))
	if err == nil && n != length {
		err = fmt.Errorf("it has %d bytes, not %d", n, length)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	a.sums.WriteString(sumLine(sum, name))
	return nil
}

// copySize is the size of a buffer, in bytes.
const copySize = 1 << 20

// sumLine is a line of SHA256SUMS.
func sumLine(sum hash.Hash, name string) string {
	return hex.EncodeToString(sum.Sum(nil)) + "  " + name + "\n"
}
