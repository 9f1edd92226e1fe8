package transfer_test

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/transfer"
	"github.com/nixvm/nixvm/internal/archive"
)

// disk is a qcow2 with a snapshot of 256 MiB of data that compress to about a half.
func disk(b *testing.B) string {
	b.Helper()
	dir := b.TempDir()
	raw, image := filepath.Join(dir, "raw"), filepath.Join(dir, "disk.qcow2")
	data := make([]byte, 256<<20)
	x := uint32(1)
	for i := range data {
		if i%64 < 32 {
			x = x*1664525 + 1013904223
			data[i] = byte(x >> 24)
		} else {
			data[i] = byte(i)
		}
	}
	if err := os.WriteFile(raw, data, 0o600); err != nil {
		b.Fatal(err)
	}
	for _, args := range [][]string{
		{"convert", "-f", "raw", "-O", "qcow2", raw, image}, {"resize", "-q", image, "20G"}, {"snapshot", "-c", "bench", image},
	} {
		if out, err := exec.Command("qemu-img", args...).CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
	}
	return image
}

// BenchmarkExport is a backup without its verification, and the tools that do the same
// with a copy in between: qemu-img convert cannot write to a pipe.
func BenchmarkExport(b *testing.B) {
	if _, err := exec.LookPath("zstd"); err != nil {
		b.Skip("there is no program zstd to compare with")
	}
	image := disk(b)
	b.Run("backup", func(b *testing.B) {
		b.SetBytes(256 << 20)
		for b.Loop() {
			err := transfer.ExportFile(image, backends.Source{VM: backends.Named("bench"), Snapshot: "bench"}, func(d backends.Disk) error {
				m := archive.Manifest{Machine: "bench", Disk: archive.Disk{Size: d.Size, Bytes: d.Bytes}}
				return archive.Write(io.Discard, m, nil, d)
			})
			if err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("qemu-img and zstd", func(b *testing.B) {
		b.SetBytes(256 << 20)
		copied := filepath.Join(b.TempDir(), "copy.qcow2")
		for b.Loop() {
			for _, args := range [][]string{
				{"qemu-img", "convert", "-f", "qcow2", "-l", "snapshot.name=bench", "-O", "qcow2", image, copied},
				{"zstd", "-q", "-1", "-T0", "-f", "-o", os.DevNull, copied},
			} {
				if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil { //nolint:gosec // fixed arguments
					b.Fatalf("%v: %s", err, out)
				}
			}
		}
	})
}
