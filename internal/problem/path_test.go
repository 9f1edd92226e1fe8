package problem_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/nixvm/nixvm/internal/problem"
)

func TestPathNamesThePathAndNoSystemCall(t *testing.T) {
	dir := t.TempDir()
	missing, file := filepath.Join(dir, "missing"), filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, gone := os.Stat(missing)
	_, below := os.ReadFile(filepath.Join(file, "x"))
	for _, c := range []struct {
		err  error
		want string
	}{
		{gone, missing + " does not exist"},
		{fmt.Errorf("look: %w", gone), missing + " does not exist"},
		{below, file + "/x: not a directory"},
		{errors.New("another"), "another"},
	} {
		if got := problem.Path(c.err); got != c.want {
			t.Errorf("%v is %q, want %q", c.err, got, c.want)
		}
	}
}
