package qcow2

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestAnOverlayIsReadWithItsBackingFile(t *testing.T) {
	for what, c := range map[string]struct {
		format  string
		options []string
	}{
		"qcow2":          {"qcow2", nil},
		"raw":            {"raw", nil},
		"small clusters": {"qcow2", []string{"-o", "cluster_size=4k"}},
		"large clusters": {"qcow2", []string{"-o", "cluster_size=2M"}},
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			content, base, image, copied := filepath.Join(dir, "raw"), filepath.Join(dir, "base"), filepath.Join(dir, "image"), filepath.Join(dir, "copy")
			raw(t, content, 48<<20+512, 7, 40)
			qemuImg(t, append(append([]string{"convert", "-f", "raw", "-O", c.format}, c.options...), content, base)...)
			qemuImg(t, "create", "-q", "-f", "qcow2", "-F", c.format, "-b", base, image, "64M")
			qemuIO(t, image, "write -P 1 3M 5M", "write -z 20M 1M", "write -P 2 47M 4M", "write -P 3 60M 512")
			below := func() *Image {
				f := opened(t, base)
				if c.format == "raw" {
					return Raw(f, 48<<20+512)
				}
				i, err := Open(f, "")
				if err != nil {
					t.Fatal(err)
				}
				return i
			}
			i, err := OpenOn(opened(t, image), below(), "")
			if err != nil {
				t.Fatal(err)
			}
			d, err := Stream(i)
			if err != nil {
				t.Fatal(err)
			}
			out, err := os.Create(copied)
			if err != nil {
				t.Fatal(err)
			}
			defer out.Close()
			if n, err := io.Copy(out, d); err != nil || n != d.Bytes {
				t.Fatalf("%d of %d bytes, %v", n, d.Bytes, err)
			}
			qemuImg(t, "check", "-f", "qcow2", copied)
			qemuImg(t, "compare", "-f", "qcow2", "-F", "qcow2", image, copied)
		})
	}
}

// opened opens a file until the test ends.
func opened(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func qemuIO(t *testing.T, path string, commands ...string) {
	t.Helper()
	args := []string{"-f", "qcow2"}
	for _, c := range commands {
		args = append(args, "-c", c)
	}
	if out, err := exec.Command("qemu-io", append(args, path)...).CombinedOutput(); err != nil { //nolint:gosec // the test's own
		t.Fatalf("qemu-io: %v: %s", err, out)
	}
}
