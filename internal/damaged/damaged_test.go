package damaged

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsSetAsideIsNeverOverwritten(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "vms", "demo", "vm.json")
	var want []string
	for _, text := range []string{"one", "two", "three"} { // all in one second, most likely
		write(t, path, text)
		aside, err := SetAside(path)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(aside); err != nil || string(got) != text {
			t.Errorf("%s: %q, %v", aside, got, err)
		}
		if !Is(aside) || Is(path) {
			t.Errorf("%s is not told from %s", aside, path)
		}
		want = append(want, aside)
	}
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the file is still there: %v", err)
	}
	if got := Find(filepath.Join(dir, "vms"), filepath.Join(dir, "none")); len(got) != len(want) {
		t.Errorf("found %q, want %q", got, want)
	}
}

func TestAFileThatIsNotThereIsNotSetAside(t *testing.T) {
	if aside, err := SetAside(filepath.Join(t.TempDir(), "none")); aside != "" || err != nil {
		t.Errorf("%q, %v", aside, err)
	}
}

func TestAFileThatCannotBeSetAsideSaysWhich(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file", "below")
	write(t, filepath.Dir(path), "not a directory")
	if _, err := SetAside(path); err == nil {
		t.Error("no error")
	}
}

// A file system that knows no rename which replaces nothing, such as NFS.
func TestSetAsideWithoutTheHelpOfTheFileSystem(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "vm.json")
	unable := func(string, string) error { return unix.EINVAL }
	kept := map[string]bool{}
	for _, text := range []string{"one", "two"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		aside, err := setAside(path, unable)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(aside); err != nil || string(got) != text {
			t.Errorf("%s holds %q, %v", aside, got, err)
		}
		kept[aside] = true
	}
	if len(kept) != 2 || len(Find(dir)) != 2 {
		t.Errorf("kept: %v", kept)
	}
	if aside, err := setAside(path, unable); aside != "" || err != nil {
		t.Errorf("of a file that is not there: %q, %v", aside, err)
	}
}
