package repotest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// top is the root of the repository, from here.
const top = "../.."

// file is one file of the repository; path is relative to its root, with slashes.
type file struct {
	path string
	text []byte
}

// lines yields the lines, without their ends.
func (f file) lines() []string {
	return strings.Split(strings.TrimSuffix(string(f.text), "\n"), "\n")
}

// generated follows the convention of golang.org/s/generatedcode, in any language.
func (f file) generated() bool {
	head, _, _ := bytes.Cut(f.text, []byte("\n\n"))
	return bytes.Contains(head, []byte("Code generated")) && bytes.Contains(head, []byte("DO NOT EDIT"))
}

// paths names every file that is in git, or would be with the next commit.
func paths(t *testing.T) []string {
	t.Helper()
	// safe.directory: a checkout of another user (sudo make test) is as good.
	cmd := exec.CommandContext(t.Context(), "git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	cmd.Dir = top
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	return strings.Split(strings.TrimRight(string(out), "\x00"), "\x00")
}

// files returns the text files whose name ends in one of the suffixes; all of
// them when there is none.
func files(t *testing.T, suffixes ...string) []file {
	t.Helper()
	var found []file
	for _, path := range paths(t) {
		if len(suffixes) > 0 && !slices.ContainsFunc(suffixes, func(s string) bool { return strings.HasSuffix(path, s) }) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(top, path))
		if os.IsNotExist(err) || bytes.IndexByte(text, 0) >= 0 {
			continue // removed but not yet committed, or not text
		}
		if err != nil {
			// A link to a directory is listed too.
			if fi, statErr := os.Stat(filepath.Join(top, path)); statErr == nil && fi.IsDir() {
				continue
			}
			t.Fatal(err)
		}
		found = append(found, file{path: path, text: text})
	}
	if len(found) == 0 {
		t.Fatalf("git lists no file ending in %q: this test looks in the wrong place", suffixes)
	}
	return found
}
