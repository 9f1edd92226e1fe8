package repotest

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Root often has a umask that hides what it writes from everybody else.
func TestWhatIsInstalledCanBeReadByEverybody(t *testing.T) {
	if _, err := os.Stat(filepath.Join(top, "bin/nixvmd")); err != nil {
		t.Skip("make build has not been run, which make test does first")
	}
	dest := t.TempDir()
	// -o build: the program as it is, others may be using it.
	cmd := exec.Command("sh", "-c", `umask 077; exec make -o build install PREFIX=/opt UNITDIR=/units DESTDIR="$1"`, "sh", dest)
	cmd.Dir = top
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make install: %v\n%s", err, out)
	}
	files := 0
	err := filepath.WalkDir(dest, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dest {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if d.Type().IsRegular() {
			files++
		}
		if mode := info.Mode().Perm(); mode&0o044 != 0o044 || info.IsDir() && mode&0o011 != 0o011 {
			t.Errorf("%s is %v", strings.TrimPrefix(path, dest), mode)
		}
		return nil
	})
	if err != nil || files != 8 {
		t.Errorf("%d files are installed, %v", files, err)
	}
	unit, err := os.ReadFile(filepath.Join(dest, "units/nixvmd.service"))
	if err != nil || !strings.Contains(string(unit), "\nExecStart=/opt/bin/nixvmd serve\n") {
		t.Errorf("the unit starts another program: %v\n%s", err, unit)
	}
}
