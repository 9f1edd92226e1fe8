package nixos

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nixvm/nixvm/internal/problem"
)

// files is the content of a flake, by slash-separated names.
type files map[string][]byte

const (
	// newSuffix is what a shipped file is called beside one that was changed.
	newSuffix = ".new"
	// maxFiles and maxFile bound what is read of a directory that anybody may
	// have put anything into.
	maxFiles = 2000
	maxFile  = 4 << 20
)

// belongs reports whether a name is part of a flake: not what begins with a
// point (.git, what nixvmd keeps), nor what editors or an update leave beside.
func belongs(name string) bool {
	return !strings.HasPrefix(name, ".") && !strings.HasSuffix(name, "~") && !strings.HasSuffix(name, newSuffix)
}

// readFiles reads all that belongs to the flake in tree. Symbolic links are
// followed to files, not to directories.
func readFiles(tree fs.FS) (files, error) {
	out := files{}
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name != "." && !belongs(d.Name()) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.IsDir() {
			return nil
		}
		info, err := fs.Stat(tree, name)
		if err != nil {
			return err
		}
		if info.IsDir() && strings.HasPrefix(d.Name(), "result") {
			return nil // what nix build leaves
		}
		if !info.Mode().IsRegular() || info.Size() > maxFile || len(out) == maxFiles {
			return problem.New(problem.ConfigInvalid, "%s does not belong into a flake: it is no file, or there is too much", name).
				WithHint("move it out of the directory of the flake")
		}
		out[name], err = fs.ReadFile(tree, name)
		return err
	})
	return out, err
}

// list names each file and the digest of its content, a line each, in the order
// in which a walk of the directory meets them. Documents do not count.
func (f files) list() string {
	names := slices.DeleteFunc(slices.Collect(maps.Keys(f)), func(name string) bool { return strings.HasSuffix(name, ".md") })
	slices.SortFunc(names, func(a, b string) int { return slices.Compare(strings.Split(a, "/"), strings.Split(b, "/")) })
	for i, name := range names {
		names[i] = fmt.Sprintf("%s=%x", name, sha256.Sum256(f[name]))
	}
	return strings.Join(names, "\n")
}

// writeTo writes the files below dir.
func (f files) writeTo(dir string) error {
	for name, content := range f {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// readDir is readFiles of a directory; a missing one holds nothing.
func readDir(dir string) (files, error) {
	out, err := readFiles(os.DirFS(dir))
	if errors.Is(err, fs.ErrNotExist) {
		if _, statErr := os.Lstat(dir); errors.Is(statErr, fs.ErrNotExist) {
			return files{}, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read the flake in %s: %w", dir, err)
	}
	return out, nil
}
