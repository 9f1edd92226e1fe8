package archive

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"maps"
	"os/exec"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"
)

func manifest(disk int) Manifest {
	return Manifest{
		Format: Format, Machine: "demo", Created: time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC), Mode: "immutable",
		Disk: Disk{Size: 1 << 20, Bytes: int64(disk)},
	}
}

// written is an archive.
func written(t interface{ Fatal(...any) }, files map[string][]byte, disk []byte) []byte {
	var b bytes.Buffer
	if err := Write(&b, manifest(len(disk)), files, bytes.NewReader(disk)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// read is what an archive has.
func read(b []byte) (Manifest, map[string][]byte, []byte, error) {
	a, err := Open(bytes.NewReader(b))
	if err != nil {
		return Manifest{}, nil, nil, err
	}
	defer a.Close()
	disk, err := io.ReadAll(a.Disk)
	return a.Manifest, a.Files, disk, err
}

func TestAnArchiveHasWhatWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		files := rapid.MapOfN(rapid.StringMatching(fileName.String()), rapid.SliceOf(rapid.Byte()), 0, 5).Draw(t, "files")
		disk := bytes.Repeat(rapid.SliceOfN(rapid.Byte(), 1, 100).Draw(t, "part"), rapid.IntRange(1, 100_000).Draw(t, "times"))
		m, gotFiles, gotDisk, err := read(written(t, files, disk))
		if err != nil || !bytes.Equal(gotDisk, disk) || !maps.EqualFunc(gotFiles, files, bytes.Equal) {
			t.Fatalf("%d bytes are %d, %d files are %d, %v", len(disk), len(gotDisk), len(files), len(gotFiles), err)
		}
		if d := cmp.Diff(manifest(len(disk)), m); d != "" {
			t.Fatal(d)
		}
	})
}

func TestTarReadsAnArchive(t *testing.T) {
	cmd := exec.Command("tar", "--zstd", "-tf", "-")
	cmd.Stdin = bytes.NewReader(written(t, map[string][]byte{"profile": []byte("dev\n")}, bytes.Repeat([]byte{7}, 9<<20)))
	out, err := cmd.CombinedOutput()
	if want := "nixvm.json\nmachine/profile\ndisk.qcow2\nSHA256SUMS\n"; err != nil || string(out) != want {
		t.Errorf("%v: %s", err, out)
	}
}

func TestADiskOfAnotherLengthIsNotWritten(t *testing.T) {
	for _, n := range []int{99, 101} {
		if err := Write(io.Discard, manifest(100), nil, bytes.NewReader(make([]byte, n))); err == nil {
			t.Errorf("%d of 100 bytes are written", n)
		}
	}
	if err := Write(io.Discard, Manifest{}, nil, strings.NewReader("")); err == nil {
		t.Error("a manifest without a disk is written")
	}
}

// full takes some bytes only.
type full struct{ left int }

var errFull = errors.New("full")

func (f *full) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestAFullTargetEndsTheWriting(t *testing.T) {
	endless := io.LimitReader(noise{}, 1<<40)
	err := Write(&full{left: 1 << 20}, Manifest{Disk: Disk{Size: 1 << 40, Bytes: 1 << 40}}, nil, endless)
	if !errors.Is(err, errFull) || strings.Count(err.Error(), errFull.Error()) != 1 {
		t.Errorf("%v", err)
	}
}

// noise does not compress to nothing.
type noise struct{}

func (noise) Read(p []byte) (int, error) {
	x := uint32(1)
	for i := range p {
		x = x*1664525 + 1013904223
		p[i] = byte(x >> 24)
	}
	return len(p), nil
}

func TestAnArchiveThatIsCutOffIsRefused(t *testing.T) {
	whole := written(t, map[string][]byte{"profile": []byte("dev\n")}, bytes.Repeat([]byte("content "), 10_000))
	for n := range whole {
		if _, _, _, err := read(whole[:n]); !errors.Is(err, ErrInvalid) {
			t.Fatalf("%d of %d bytes: %v", n, len(whole), err)
		}
	}
	if _, _, _, err := read(append(bytes.Clone(whole), whole...)); !errors.Is(err, ErrInvalid) {
		t.Errorf("two archives in a row: %v", err)
	}
}

func TestTheErrorOfTheFileIsNotTheArchivesFault(t *testing.T) {
	whole := written(t, nil, bytes.Repeat([]byte("content "), 10_000))
	failed := errors.New("input/output error")
	for _, n := range []int{0, 20, len(whole) - 1} {
		a, err := Open(io.MultiReader(bytes.NewReader(whole[:n]), iotest.ErrReader(failed)))
		if err == nil {
			err = a.Verify()
			a.Close()
		}
		if !errors.Is(err, failed) || errors.Is(err, ErrInvalid) {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
}

func TestEachByteOfAnArchiveIsChecked(t *testing.T) {
	whole := written(t, map[string][]byte{"profile": []byte("dev\n")}, []byte("the content of the disk"))
	for at := range whole {
		changed := bytes.Clone(whole)
		changed[at] ^= 0x10
		m, files, disk, err := read(changed)
		if err == nil && (string(disk) != "the content of the disk" || string(files["profile"]) != "dev\n" || m.Machine != "demo") {
			t.Fatalf("byte %d is changed, and the content: %q %q", at, disk, files)
		}
	}
}

// member is one of a tar file made by hand.
type member struct {
	tar.Header
	content string
}

// forged is an archive of such members.
func forged(t *testing.T, members ...member) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(z)
	for _, m := range members {
		if m.Size == 0 {
			m.Size = int64(len(m.content))
		}
		if err := w.WriteHeader(&m.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, m.content); err != nil {
			t.Fatal(err)
		}
	}
	_ = w.Flush() // a member may be shorter than it says
	z.Close()
	return b.Bytes()
}

func plain(name, content string) member {
	return member{tar.Header{Typeflag: tar.TypeReg, Name: name}, content}
}

func TestAHostileArchiveIsRefused(t *testing.T) {
	head := plain(manifestName, `{"format":1,"machine":"demo","disk":{"size":1048576,"bytes":7}}`)
	disk := plain(diskName, "content")
	for what, members := range map[string][]member{
		"nothing":              {},
		"no manifest":          {disk},
		"no JSON":              {plain(manifestName, "{")},
		"no format":            {plain(manifestName, "{}")},
		"a huge manifest":      {plain(manifestName, strings.Repeat(" ", maxManifest+1))},
		"a disk of no size":    {plain(manifestName, `{"format":1,"disk":{"size":0,"bytes":7}}`), disk},
		"a negative length":    {plain(manifestName, `{"format":1,"disk":{"size":1048576,"bytes":-7}}`), disk},
		"an endless disk":      {plain(manifestName, `{"format":1,"disk":{"size":1048576,"bytes":9000000000000000000}}`), disk},
		"another length":       {plain(manifestName, `{"format":1,"disk":{"size":1048576,"bytes":8}}`), disk},
		"a path":               {head, plain("machine/../../x", "")},
		"an absolute path":     {head, plain("/etc/passwd", "")},
		"a hidden file":        {head, plain("machine/.ssh", "")},
		"a directory in it":    {head, plain("machine/a/b", "")},
		"another member":       {head, plain("x", "")},
		"a file twice":         {head, plain("machine/profile", ""), plain("machine/profile", ""), disk},
		"a huge file":          {head, plain("machine/profile", strings.Repeat("#", maxFile+1)), disk},
		"a symbolic link":      {head, {tar.Header{Typeflag: tar.TypeSymlink, Name: "machine/profile", Linkname: "/etc/shadow"}, ""}},
		"a hard link":          {head, {tar.Header{Typeflag: tar.TypeLink, Name: "machine/profile", Linkname: "/etc/shadow"}, ""}},
		"a device":             {head, {tar.Header{Typeflag: tar.TypeBlock, Name: diskName, Devmajor: 8}, ""}},
		"a pipe":               {head, {tar.Header{Typeflag: tar.TypeFifo, Name: diskName}, ""}},
		"a directory":          {head, {tar.Header{Typeflag: tar.TypeDir, Name: "machine/"}, ""}},
		"no digests":           {head, disk},
		"others than digests":  {head, disk, plain("x", "")},
		"wrong digests":        {head, disk, plain(sumsName, "0  "+diskName+"\n")},
		"the manifest last":    {disk, head},
		"a short disk":         {head, {tar.Header{Typeflag: tar.TypeReg, Name: diskName, Size: 7}, "cont"}},
		"more than the digest": {head, disk, plain(sumsName, strings.Repeat("x", 1<<20))},
	} {
		if _, _, _, err := read(forged(t, members...)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	var many []member
	for n := range maxFiles + 1 {
		many = append(many, plain("machine/f"+strings.Repeat("x", n%60)+string(rune('0'+n/60)), ""))
	}
	if _, _, _, err := read(forged(t, append([]member{head}, many...)...)); !errors.Is(err, ErrInvalid) {
		t.Errorf("many files: %v", err)
	}
	later := plain(manifestName, `{"format":2}`)
	if _, _, _, err := read(forged(t, later)); !errors.Is(err, ErrFormat) {
		t.Errorf("a later format: %v", err)
	}
}

// A few KiB that unpack to the size that they say.
func TestADecompressionBombIsRefused(t *testing.T) {
	const size = 2 << 30
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b, zstd.WithEncoderLevel(zstd.SpeedBestCompression))
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(z)
	for _, m := range []member{
		plain(manifestName, `{"format":1,"machine":"demo","disk":{"size":2147483648,"bytes":2147483648}}`),
		{tar.Header{Typeflag: tar.TypeReg, Name: diskName, Size: size}, ""},
	} {
		m.Size = max(m.Size, int64(len(m.content)))
		if err := w.WriteHeader(&m.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, m.content); err != nil {
			t.Fatal(err)
		}
	}
	zeros := make([]byte, 1<<20)
	for range size >> 20 {
		if _, err := w.Write(zeros); err != nil {
			t.Fatal(err)
		}
	}
	z.Close()
	a, err := Open(&b)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if n, err := io.Copy(io.Discard, a.Disk); !errors.Is(err, errBomb) || n > size/2 {
		t.Errorf("%d bytes are %d until %v", b.Len(), n, err)
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(written(f, map[string][]byte{"profile": []byte("dev\n")}, []byte("content")), false)
	z, err := zstd.NewReader(nil)
	if err != nil {
		f.Fatal(err)
	}
	raw, err := z.DecodeAll(written(f, nil, []byte("content")), nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw, true)
	e, err := zstd.NewWriter(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte, pack bool) {
		if pack { // a tar file, so that what is found gets further
			b = e.EncodeAll(b, nil)
		}
		m, files, disk, err := read(b)
		if err != nil {
			return
		}
		if int64(len(disk)) != m.Disk.Bytes || len(files) > maxFiles {
			t.Errorf("%+v with %d bytes and %d files is accepted", m, len(disk), len(files))
		}
	})
}
