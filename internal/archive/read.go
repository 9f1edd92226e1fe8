package archive

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
)

// Reader reads an archive from its beginning.
type Reader struct {
	Manifest Manifest
	Files    map[string][]byte // of the machine directory, by name
	Disk     io.Reader         // see Open

	z    *decompressor
	tar  *tar.Reader
	sums strings.Builder // of the members so far
	sum  hash.Hash       // of the disk
	left int64           // of the disk, bytes
	err  error           // the end of the disk
}

// Open reads up to the disk. The errors are ErrInvalid, ErrFormat and those of r.
//
// Reader.Disk gives the disk, once. It ends with io.EOF only when the whole archive has
// been read and all digests are right, else with the error: what has been made from the
// disk until then is to be thrown away. Close must be called.
func Open(r io.Reader) (*Reader, error) {
	z, err := decompress(r)
	if err != nil {
		return nil, err
	}
	a := &Reader{Files: map[string][]byte{}, z: z, tar: tar.NewReader(z)}
	if err := a.head(); err != nil {
		z.Close()
		return nil, err
	}
	a.Disk = (*diskReader)(a)
	return a, nil
}

// Close ends the reading; it does not close what Open was given.
func (a *Reader) Close() error { return a.z.Close() }

// Verify reads the disk to its end, and so all of the archive.
func (a *Reader) Verify() error {
	_, err := io.CopyBuffer(io.Discard, struct{ io.Reader }{a.Disk}, make([]byte, copySize))
	return err
}

// head reads the members before the disk.
func (a *Reader) head() error {
	h, err := a.next()
	if err != nil {
		return err
	}
	if h.Name != manifestName {
		return invalid("it begins with %.80q, not with %s", h.Name, manifestName)
	}
	b, err := a.content(h, maxManifest)
	if err != nil {
		return err
	}
	if a.Manifest, err = parseManifest(b); err != nil {
		return err
	}
	for {
		if h, err = a.next(); err != nil {
			return err
		}
		if h.Name == diskName {
			break
		}
		name, ok := strings.CutPrefix(h.Name, machineDir)
		_, twice := a.Files[name]
		if !ok || !fileName.MatchString(name) || twice || len(a.Files) == maxFiles {
			return invalid("an unexpected member %.80q", h.Name)
		}
		if a.Files[name], err = a.content(h, maxFile); err != nil {
			return err
		}
	}
	if h.Size != a.Manifest.Disk.Bytes {
		return invalid("%s has %d bytes, %s says %d", diskName, h.Size, manifestName, a.Manifest.Disk.Bytes)
	}
	a.left, a.sum = h.Size, sha256.New()
	return nil
}

// next goes on to the next member, which is a plain file.
func (a *Reader) next() (*tar.Header, error) {
	h, err := a.tar.Next()
	if err != nil {
		return nil, a.damaged(err)
	}
	if h.Typeflag != tar.TypeReg {
		return nil, invalid("%.80q is not a plain file", h.Name)
	}
	return h, nil
}

// content is a small member.
func (a *Reader) content(h *tar.Header, limit int64) ([]byte, error) {
	if h.Size > limit {
		return nil, invalid("%.80q has %d bytes, more than %d", h.Name, h.Size, limit)
	}
	b, err := io.ReadAll(io.LimitReader(a.tar, limit+1))
	if err != nil {
		return nil, a.damaged(err)
	}
	if int64(len(b)) != h.Size {
		return nil, invalid("%.80q has %d bytes, not %d", h.Name, len(b), h.Size)
	}
	sum := sha256.New()
	sum.Write(b)
	a.sums.WriteString(sumLine(sum, h.Name))
	return b, nil
}

// tail checks what follows the disk.
func (a *Reader) tail() error {
	a.sums.WriteString(sumLine(a.sum, diskName))
	want := a.sums.String()
	h, err := a.next()
	if err != nil {
		return err
	}
	if h.Name != sumsName {
		return invalid("%.80q stands in the place of %s", h.Name, sumsName)
	}
	got, err := a.content(h, int64(len(want)))
	if err != nil {
		return err
	}
	if !bytes.Equal(got, []byte(want)) {
		return invalid("%s does not match %s", different(string(got), want), sumsName)
	}
	if h, err := a.tar.Next(); err == nil {
		return invalid("an unexpected member %.80q", h.Name)
	} else if !errors.Is(err, io.EOF) {
		return a.damaged(err)
	}
	// The padding of tar: zeros, and not without end.
	rest, err := io.ReadAll(io.LimitReader(a.z, copySize))
	if err != nil || len(rest) == copySize || len(bytes.Trim(rest, "\x00")) > 0 {
		return a.damaged(err)
	}
	return nil
}

// different names the first member whose line is another one.
func different(got, want string) string {
	lines := strings.Split(got, "\n")
	for i, line := range strings.Split(want, "\n") {
		if i < len(lines) && lines[i] == line {
			continue
		}
		if _, name, ok := strings.Cut(line, "  "); ok {
			return name
		}
	}
	return "an unknown member"
}

// damaged is the error of an archive that cannot be read on: its own fault, unless what
// Open was given cannot be read.
func (a *Reader) damaged(err error) error {
	if own := a.z.in.failed(); own != nil {
		return own
	}
	switch {
	case err == nil:
		return invalid("more follows after its end")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return invalid("it is cut off")
	}
	return fmt.Errorf("%w: %w", ErrInvalid, err)
}

// diskReader is Reader.Disk.
type diskReader Reader

func (d *diskReader) Read(p []byte) (int, error) {
	if d.err != nil {
		return 0, d.err
	}
	if d.left == 0 {
		if d.err = (*Reader)(d).tail(); d.err == nil {
			d.err = io.EOF
		}
		return 0, d.err
	}
	n, err := d.tar.Read(p)
	d.sum.Write(p[:n])
	d.left -= int64(n)
	if err != nil && (d.left > 0 || !errors.Is(err, io.EOF)) {
		d.err = (*Reader)(d).damaged(err)
		return n, d.err
	}
	return n, nil
}
