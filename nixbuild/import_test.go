package nixbuild

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
)

// rawDisk writes a small raw disk with a partition table.
func rawDisk(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "disk.raw")
	data := make([]byte, 1<<20)
	copy(data[512:], "EFI PART")
	copy(data[600<<10:], "content")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func qemuImgTest(t *testing.T, args ...string) {
	t.Helper()
	out, err := exec.Command("qemu-img", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("qemu-img %v: %v\n%s\n  sudo apt-get install qemu-utils", args, err, out)
	}
}

func qcow2Of(t *testing.T, raw string, options ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "disk.qcow2")
	qemuImgTest(t, append(append([]string{"convert", "-f", "raw", "-O", "qcow2"}, options...), raw, file)...)
	return file
}

// onlyImages fails when the store holds anything but locks and the images.
func onlyImages(t *testing.T, s *Store, want int) {
	t.Helper()
	entries, err := os.ReadDir(s.Dir())
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, e := range entries {
		switch {
		case strings.HasSuffix(e.Name(), lockName), e.Name() == cacheDir:
		case strings.HasPrefix(e.Name(), "."):
			t.Errorf("%s was left in the store", e.Name())
		default:
			found++
		}
	}
	if found != want {
		t.Errorf("the store holds %d images, want %d", found, want)
	}
}

func TestImportTakesADisk(t *testing.T) {
	raw := rawDisk(t)
	for format, file := range map[string]string{"raw": raw, "qcow2": qcow2Of(t, raw)} {
		t.Run(format, func(t *testing.T) {
			s := OpenStore(t.TempDir())
			var last progress.Update
			img, err := s.Import(t.Context(), file, SemiMutable, func(u progress.Update) { last = u })
			if err != nil {
				t.Fatal(err)
			}
			if img.Mode != SemiMutable || img.Disk.Format != format || img.Disk.VirtualSize != 1<<20 || img.Kernel != "" {
				t.Errorf("got %+v", img)
			}
			if last.Current == 0 || last.Current != last.Total || last.Unit != "bytes" {
				t.Errorf("last progress %+v", last)
			}
			if err := s.Verify(t.Context(), img); err != nil {
				t.Error(err)
			}
			again, err := s.Import(t.Context(), file, SemiMutable, nil)
			if err != nil || again.ID != img.ID {
				t.Errorf("a second import gave %s, %v", again.ID, err)
			}
			other, err := s.Import(t.Context(), file, Immutable, nil)
			if err != nil || other.ID == img.ID {
				t.Errorf("an import in another mode gave %s, %v", other.ID, err)
			}
			onlyImages(t, s, 2)
		})
	}
}

func TestImportTakesADescribedImage(t *testing.T) {
	first := OpenStore(t.TempDir())
	plain, err := first.Import(t.Context(), rawDisk(t), Immutable, nil)
	if err != nil {
		t.Fatal(err)
	}
	plain.Kernel, plain.Initrd, plain.Cmdline, plain.Distro = "k", "i", "ro quiet", "debian"
	for _, name := range []string{"k", "i"} {
		if err := os.WriteFile(filepath.Join(plain.Dir, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := WriteImage(plain.Dir, plain); err != nil {
		t.Fatal(err)
	}
	s := OpenStore(t.TempDir())
	for _, path := range []string{plain.Dir, filepath.Join(plain.Dir, ImageFile)} {
		img, err := s.Import(t.Context(), path, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		if img.Cmdline != "ro quiet" || img.Distro != "debian" || img.ID == plain.ID || img.KernelPath() == "" || img.InitrdPath() == "" {
			t.Errorf("got %+v", img)
		}
	}
	onlyImages(t, s, 1)

	if _, err := s.Import(t.Context(), plain.Dir, Mutable, nil); !problem.HasCode(err, problem.ModeUnsupported) {
		t.Errorf("another mode than the image's: %v", err)
	}
	disk := plain.DiskPath()
	data, _ := os.ReadFile(disk)
	data[700<<10] ^= 1
	if err := os.WriteFile(disk, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Import(t.Context(), plain.Dir, "", nil); !problem.HasCode(err, problem.ImageCorrupt) {
		t.Errorf("a disk that is not the described one: %v", err)
	}
	onlyImages(t, s, 1)
}

func TestImportRefuses(t *testing.T) {
	raw := rawDisk(t)
	write := func(name string, data []byte) string {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	backed := filepath.Join(t.TempDir(), "backed.qcow2")
	qemuImgTest(t, "create", "-q", "-f", "qcow2", "-F", "raw", "-b", raw, backed)
	external := filepath.Join(t.TempDir(), "external.qcow2")
	qemuImgTest(t, "create", "-q", "-f", "qcow2", "-o", "data_file="+raw, external, "1M")
	whole, err := os.ReadFile(qcow2Of(t, raw))
	if err != nil {
		t.Fatal(err)
	}
	vmdk := filepath.Join(t.TempDir(), "disk.vmdk")
	qemuImgTest(t, "convert", "-f", "raw", "-O", "vmdk", raw, vmdk)

	tests := []struct {
		name, path, mode string
		code             problem.Code
	}{
		{"a file that is not there", filepath.Join(t.TempDir(), "no"), Immutable, problem.ImageNotFound},
		{"a directory without image.json", t.TempDir(), Immutable, problem.ImageNotFound},
		{"a device", "/dev/null", Immutable, problem.ImageCorrupt},
		{"an empty file", write("x", nil), Immutable, problem.ImageCorrupt},
		{"text", write("x", []byte(strings.Repeat("not a disk\n", 5000))), Immutable, problem.ImageCorrupt},
		{"a raw disk without partitions", write("x", make([]byte, 1<<20)), Immutable, problem.ImageCorrupt},
		{"a qcow2 that ends early", write("x", whole[:len(whole)/3]), Immutable, problem.ImageCorrupt},
		{"a qcow2 header and nothing else", write("x", []byte("QFI\xfb\x00\x00\x00\x03")), Immutable, problem.ImageCorrupt},
		{"another format", vmdk, Immutable, problem.ImageCorrupt},
		{"a backing file", backed, Immutable, problem.ImageUnsupported},
		{"an external data file", external, Immutable, problem.ImageUnsupported},
		{"an unknown mode", raw, "melted", problem.ModeUnsupported},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := OpenStore(t.TempDir())
			_, err := s.Import(t.Context(), tt.path, tt.mode, nil)
			if !problem.HasCode(err, tt.code) {
				t.Errorf("got %v, want %s", err, tt.code)
			}
			onlyImages(t, s, 0)
		})
	}
}

func TestACancelledImportLeavesNothing(t *testing.T) {
	raw := rawDisk(t)
	if err := os.Truncate(raw, 64<<20); err != nil {
		t.Fatal(err)
	}
	s := OpenStore(t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	_, err := s.Import(ctx, raw, Immutable, func(u progress.Update) {
		if u.Current > 0 {
			cancel()
		}
	})
	if problem.From(err).Code != problem.Cancelled {
		t.Errorf("got %v, want a cancellation", err)
	}
	onlyImages(t, s, 0)
}
