package nixbuild

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nixvm/nixvm/internal/problem"
)

func TestAnImageIsReadAsItWasWritten(t *testing.T) {
	dir := t.TempDir()
	want := goodImage()
	want.Kernel, want.Initrd, want.Cmdline = "vmlinuz", "initrd", "ro console=ttyS0"
	if err := WriteImage(dir, want); err != nil {
		t.Fatal(err)
	}
	got, err := ReadImage(dir)
	if err != nil {
		t.Fatal(err)
	}
	want.Dir = dir
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got.KernelPath() != filepath.Join(dir, "vmlinuz") || got.DiskPath() != filepath.Join(dir, "disk.raw") {
		t.Errorf("paths %s, %s", got.KernelPath(), got.DiskPath())
	}
}

func TestImagesOfEarlierContractsCanStillBeUsed(t *testing.T) {
	for contract := OldestContract; contract <= ContractVersion; contract++ {
		img := goodImage()
		img.Contract = contract
		if err := img.Validate(); err != nil {
			t.Errorf("contract %d: %v", contract, err)
		}
	}
	if img := plainDisk("/disk.raw", "disk.raw", "").img; img.Contract != OldestContract {
		t.Errorf("a disk that says nothing of itself is taken to obey contract %d", img.Contract)
	}
}

func TestADescriptionThatIsNotSafeIsRefused(t *testing.T) {
	tests := map[string]func(*Image){
		"a newer contract":            func(i *Image) { i.Contract = ContractVersion + 1 },
		"no contract":                 func(i *Image) { i.Contract = 0 },
		"an id that is a path":        func(i *Image) { i.ID = "../../etc" },
		"an id with a dot-dot":        func(i *Image) { i.ID = "abcdef..g" },
		"an unknown mode":             func(i *Image) { i.Mode = "melted" },
		"a profile with a space":      func(i *Image) { i.Profiles = []string{"a b"} },
		"a disk elsewhere":            func(i *Image) { i.Disk.File = "/etc/shadow" },
		"a disk one level up":         func(i *Image) { i.Disk.File = "../disk" },
		"image.json as the disk":      func(i *Image) { i.Disk.File = ImageFile },
		"an option as the kernel":     func(i *Image) { i.Kernel = "-kernel" },
		"a format that can name more": func(i *Image) { i.Disk.Format = "vmdk" },
		"no size":                     func(i *Image) { i.Disk.VirtualSize = 0 },
		"a size of odd bytes":         func(i *Image) { i.Disk.VirtualSize = 513 },
		"no digest":                   func(i *Image) { i.Disk.SHA256 = "" },
		"an initrd without a kernel":  func(i *Image) { i.Initrd = "initrd" },
		"nothing that boots":          func(i *Image) { i.NoBootLoader = true },
		"a line break on the cmdline": func(i *Image) { i.Kernel, i.Cmdline = "k", "ro\ninit=/bin/sh" },
		"an escape in the source":     func(i *Image) { i.Source = "\x1b[2J" },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			img := goodImage()
			change(&img)
			if err := img.Validate(); !problem.HasCode(err, problem.ImageCorrupt) {
				t.Errorf("got %v", err)
			}
			if err := WriteImage(t.TempDir(), img); err == nil {
				t.Error("it was written")
			}
		})
	}
}

// FuzzParseImage: accepted input stays in its directory and survives
// being written and read again.
func FuzzParseImage(f *testing.F) {
	good, err := json.Marshal(goodImage())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"contract":1}`))
	f.Add([]byte(strings.Replace(string(good), "disk.raw", "../disk", 1)))
	f.Fuzz(func(t *testing.T, data []byte) {
		img, err := ParseImage(data)
		if err != nil {
			if !problem.HasCode(err, problem.ImageCorrupt) {
				t.Errorf("an error without code: %v", err)
			}
			return
		}
		img.Dir = "/images/x"
		for _, p := range []string{img.DiskPath(), img.KernelPath(), img.InitrdPath()} {
			if p != "" && filepath.Dir(p) != img.Dir {
				t.Errorf("the file %q lies outside", p)
			}
		}
		again, err := json.Marshal(img)
		if err != nil {
			t.Fatal(err)
		}
		img.Dir = ""
		second, err := ParseImage(again)
		if err != nil {
			t.Fatalf("its own text is refused: %v", err)
		}
		if diff := cmp.Diff(img, second); diff != "" {
			t.Errorf("(-first +second):\n%s", diff)
		}
	})
}
