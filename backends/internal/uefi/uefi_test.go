package uefi

import (
	"os"
	"path/filepath"
	"testing"
)

func TestVariablesAreCopiedWhereThereAreAny(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	if made, err := CopyVariables(from, to); made || err != nil {
		t.Errorf("of a VM that has never run: %t, %v", made, err)
	}
	if _, err := os.Lstat(to); !os.IsNotExist(err) {
		t.Errorf("%v", err)
	}
	if err := os.WriteFile(from, []byte("variables"), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time over the first copy
		if made, err := CopyVariables(from, to); !made || err != nil {
			t.Fatal(made, err)
		}
	}
	content, err := os.ReadFile(to)
	st, serr := os.Stat(to)
	if err != nil || serr != nil || string(content) != "variables" || st.Mode().Perm() != 0o600 {
		t.Errorf("%q, %v, %v, %v", content, err, st, serr)
	}
	if made, err := CopyVariables(from, filepath.Join(dir, "none", "to")); made || err == nil {
		t.Errorf("to a directory that is not there: %t, %v", made, err)
	}
}
