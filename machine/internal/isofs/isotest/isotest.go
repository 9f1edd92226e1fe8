// Package isotest reads ISO 9660 volumes in tests, by the reader of another
// project (go-diskfs), so that writer and test cannot agree on a mistake.
package isotest

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/iso9660"
)

// Open returns the volume as a file system.
func Open(tb testing.TB, image []byte) *iso9660.FileSystem {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "volume.iso")
	if err := os.WriteFile(path, image, 0o600); err != nil {
		tb.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { f.Close() })
	vol, err := iso9660.Read(file.New(f, true), int64(len(image)), 0, 2048)
	if err != nil {
		tb.Fatal(err)
	}
	return vol
}

// Files returns the content of all files in the volume's root, by name.
func Files(tb testing.TB, image []byte) map[string]string {
	tb.Helper()
	vol := Open(tb, image)
	entries, err := vol.ReadDir(".")
	if err != nil {
		tb.Fatal(err)
	}
	all := map[string]string{}
	for _, e := range entries {
		if e.Name() == "." || e.Name() == ".." {
			continue
		}
		data, err := fs.ReadFile(vol, e.Name())
		if err != nil {
			tb.Fatalf("%s: %v", e.Name(), err)
		}
		all[e.Name()] = string(data)
	}
	return all
}
