package qcow2

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"github.com/nixvm/nixvm/backends"
)

// qemuImg runs qemu-img.
func qemuImg(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("qemu-img", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("qemu-img %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// raw writes a disk with noise in some places.
func raw(t *testing.T, path string, size int64, seed uint64, places int) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(seed, 1))
	for range places {
		p := make([]byte, 512*(1+r.IntN(300)))
		for i := range p {
			p[i] = byte(r.Uint32())
		}
		if _, err := f.WriteAt(p, min(r.Int64N(size/512)*512, size-int64(len(p)))); err != nil {
			t.Fatal(err)
		}
	}
}

// streamed writes what Stream gives of an image to a file.
func streamed(t *testing.T, from, snapshot, to string) backends.Disk {
	t.Helper()
	f, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	i, err := Open(f, snapshot)
	if err != nil {
		t.Fatal(err)
	}
	d, err := Stream(i)
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	n, err := io.Copy(out, d)
	if err != nil || n != d.Bytes {
		t.Fatalf("%d of %d bytes, %v", n, d.Bytes, err)
	}
	return d
}

func TestImagesOfQEMUAreStreamedAndReceived(t *testing.T) {
	for what, c := range map[string]struct {
		size    int64
		options []string
	}{
		"usual":               {200 << 20, nil},
		"more than one table": {3<<30 + 512, nil},
		"small clusters":      {64 << 20, []string{"-o", "cluster_size=4k"}},
		"large clusters":      {1 << 30, []string{"-o", "cluster_size=2M"}},
		"compressed":          {64 << 20, []string{"-c"}},
		"old":                 {64 << 20, []string{"-o", "compat=0.10"}},
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			source, image, copied := filepath.Join(dir, "raw"), filepath.Join(dir, "image"), filepath.Join(dir, "copy")
			raw(t, source, c.size, uint64(c.size), 40)
			qemuImg(t, append(append([]string{"convert", "-f", "raw", "-O", "qcow2"}, c.options...), source, image)...)
			d := streamed(t, image, "", copied)
			qemuImg(t, "check", "-f", "qcow2", copied)
			qemuImg(t, "compare", "-f", "raw", "-F", "qcow2", source, copied)
			if d.Size != c.size {
				t.Errorf("a disk of %d bytes is one of %d", c.size, d.Size)
			}
			content, err := os.ReadFile(copied)
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			d.Reader = bytes.NewReader(content)
			if err := Receive(&got, d); err != nil || !bytes.Equal(got.Bytes(), content) {
				t.Errorf("it is received as %d bytes, %v", got.Len(), err)
			}
		})
	}
}

func TestASnapshotIsReadAsItWas(t *testing.T) {
	dir := t.TempDir()
	before, after, image, copied := filepath.Join(dir, "1"), filepath.Join(dir, "2"), filepath.Join(dir, "image"), filepath.Join(dir, "copy")
	raw(t, before, 96<<20, 1, 20)
	qemuImg(t, "convert", "-f", "raw", "-O", "qcow2", before, image)
	qemuImg(t, "snapshot", "-c", "other", image)
	qemuImg(t, "snapshot", "-c", "this", image)
	raw(t, after, 96<<20, 2, 20)
	qemuImg(t, "convert", "-n", "-f", "raw", "-O", "qcow2", after, image)
	qemuImg(t, "resize", image, "128M")
	streamed(t, image, "this", copied)
	qemuImg(t, "compare", "-f", "raw", "-F", "qcow2", before, copied)
	f, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var missing SnapshotMissingError
	if _, err := Open(f, "nosuch"); !errors.As(err, &missing) {
		t.Errorf("a snapshot that is not there: %v", err)
	}
}

func TestWhatCannotBeReadIsRefused(t *testing.T) {
	dir := t.TempDir()
	base := filepath.Join(dir, "base")
	qemuImg(t, "create", "-q", "-f", "qcow2", base, "1M")
	for what, args := range map[string][]string{
		"backing file": {"-b", base, "-F", "qcow2"},
		"data file":    {"-o", "data_file=" + filepath.Join(dir, "data")},
		"subclusters":  {"-o", "extended_l2=on"},
	} {
		path := filepath.Join(dir, strings.ReplaceAll(what, " ", "-"))
		qemuImg(t, append(append([]string{"create", "-q", "-f", "qcow2"}, args...), path, "1M")...)
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Open(f, ""); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: %v", what, err)
		}
		f.Close()
	}
}

// memory is a disk in memory, by the number of the cluster.
type memory map[int64][]byte

func (m memory) ReadAt(p []byte, at int64) (int, error) {
	for n := 0; n < len(p); n += clusterSize {
		copy(p[n:n+clusterSize], m[(at+int64(n))>>clusterBits])
	}
	return len(p), nil
}

// disk is the disk as Stream gives it.
func (m memory) disk(size int64) backends.Disk {
	var runs []run
	for _, n := range slices.Sorted(maps.Keys(m)) {
		if last := len(runs) - 1; last >= 0 && runs[last].first+runs[last].count == n {
			runs[last].count++
		} else {
			runs = append(runs, run{n, 1})
		}
	}
	return newStream(m, size, runs)
}

// drawn draws a sparse disk.
func drawn(t *rapid.T) (memory, int64) {
	size := rapid.SampledFrom([]int64{512, clusterSize, 5*clusterSize + 512, l2Entries * clusterSize, 3*l2Entries*clusterSize - 512, maxSize}).Draw(t, "size")
	m := memory{}
	last := ceil(size, clusterSize) - 1
	for range rapid.IntRange(0, 12).Draw(t, "runs") {
		first := rapid.Int64Range(0, last).Draw(t, "first")
		for n := range rapid.Int64Range(1, 5).Draw(t, "count") {
			if first+n <= last {
				m[first+n] = bytes.Repeat([]byte{byte(rapid.IntRange(0, 255).Draw(t, "byte"))}, clusterSize)
			}
		}
	}
	return m, size
}

func TestASparseDiskComesBackAsItWas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, size := drawn(t)
		d := m.disk(size)
		var got bytes.Buffer
		if err := Receive(&got, d); err != nil || int64(got.Len()) != d.Bytes {
			t.Fatalf("%d of %d bytes, %v", got.Len(), d.Bytes, err)
		}
		i, err := Open(bytes.NewReader(got.Bytes()), "")
		if err != nil || i.Size != size {
			t.Fatalf("%+v, %v", i, err)
		}
		runs, err := i.allocated()
		if err != nil {
			t.Fatal(err)
		}
		found := memory{}
		for _, r := range runs {
			for n := r.first; n < r.first+r.count; n++ {
				found[n] = make([]byte, clusterSize)
				if _, err := i.ReadAt(found[n], n*clusterSize); err != nil {
					t.Fatal(err)
				}
			}
		}
		last := ceil(size, clusterSize) - 1
		if m[last] != nil { // what is behind the end of the disk is not read
			clear(m[last][size-last*clusterSize:])
		}
		if !maps.EqualFunc(m, found, bytes.Equal) {
			t.Fatalf("the clusters %v are %v, or have another content", slices.Sorted(maps.Keys(m)), slices.Sorted(maps.Keys(found)))
		}
	})
}

// Whatever is changed before the data, by a bit, is refused.
func TestEachBitOfTheTablesIsChecked(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, size := drawn(t)
		d := m.disk(min(size, 3*l2Entries*clusterSize))
		for n := range m {
			if n >= 3*l2Entries {
				t.Skip("larger than what is tried")
			}
		}
		image, err := io.ReadAll(d)
		if err != nil {
			t.Fatal(err)
		}
		tables := (d.Bytes>>clusterBits - int64(len(m))) * clusterSize
		at := rapid.Int64Range(0, tables-1).Draw(t, "at")
		image[at] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		d.Reader = bytes.NewReader(image)
		if err := Receive(io.Discard, d); !errors.Is(err, ErrInvalid) {
			t.Fatalf("byte %d is changed: %v", at, err)
		}
	})
}

func TestADiskOfAnotherLengthIsRefused(t *testing.T) {
	whole, err := io.ReadAll(Plain([]byte("content"), 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	n := int64(len(whole))
	for what, d := range map[string]backends.Disk{
		"too short":        {Reader: bytes.NewReader(whole[:n-1]), Bytes: n, Size: 1 << 20},
		"without its data": {Reader: bytes.NewReader(whole[:n-clusterSize]), Bytes: n, Size: 1 << 20},
		"too long":         {Reader: bytes.NewReader(append(bytes.Clone(whole), 0)), Bytes: n, Size: 1 << 20},
		"another length":   {Reader: bytes.NewReader(whole), Bytes: n + clusterSize, Size: 1 << 20},
		"another size":     {Reader: bytes.NewReader(whole), Bytes: n, Size: 2 << 20},
		"no whole cluster": {Reader: bytes.NewReader(whole), Bytes: n - 1, Size: 1 << 20},
		"too large":        {Reader: bytes.NewReader(whole), Bytes: n, Size: maxSize + 512},
		"nothing":          {Reader: bytes.NewReader(nil), Bytes: clusterSize, Size: 1 << 20},
	} {
		if err := Receive(io.Discard, d); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	damaged := errors.New("the sum differs")
	d := backends.Disk{Reader: io.MultiReader(bytes.NewReader(whole), iotest.ErrReader(damaged)), Bytes: n, Size: 1 << 20}
	if err := Receive(io.Discard, d); !errors.Is(err, damaged) {
		t.Errorf("the error at the end is lost: %v", err)
	}
}

// A disk that passes is one that Stream would have written.
func FuzzReceive(f *testing.F) {
	for _, content := range []string{"", "content"} {
		whole, err := io.ReadAll(Plain([]byte(content), 1<<20))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(whole, int64(1<<20))
	}
	f.Fuzz(func(t *testing.T, image []byte, size int64) {
		var got bytes.Buffer
		d := backends.Disk{Reader: bytes.NewReader(image), Bytes: int64(len(image)), Size: size}
		if Receive(&got, d) != nil {
			return
		}
		i, err := Open(bytes.NewReader(image), "")
		if err != nil {
			t.Fatal(err)
		}
		again, err := Stream(i)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(again)
		if err != nil || len(b) != len(image) {
			t.Fatalf("%d bytes are %d, %v", len(image), len(b), err)
		}
	})
}

// Any file may be opened: the disk of a guest is in one.
func FuzzOpen(f *testing.F) {
	whole, err := io.ReadAll(Plain([]byte("content"), 1<<20))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole, "")
	f.Add(whole, "snapshot")
	f.Fuzz(func(t *testing.T, image []byte, snapshot string) {
		i, err := Open(bytes.NewReader(image), snapshot)
		if err != nil {
			return
		}
		if i.Size > 1<<30 {
			return // only the time that it takes
		}
		if runs, err := i.allocated(); err == nil && len(runs) > 0 {
			_, _ = i.ReadAt(make([]byte, clusterSize), runs[0].first*clusterSize)
		}
	})
}
