package nixos

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/nixvm/nixvm/internal/problem"
)

// files is the content of a flake, by slash-separated names.
type files map[string][]byte

const (
	// newSuffix is what a shipped file is called beside one that was changed.
	newSuffix = ".new"
	// maxFiles and maxFile bound what is read of a directory that any user may
	// have put anything into.
	maxFiles = 2000
	maxFile  = 4 << 20
)

// document is the flake's own page, which no image is made from.
const document = "README.md"

// beside is what version control, direnv, nixvmd and editors keep beside the files
// of a flake. The flake itself leaves out the same (lib/digest.nix): a name on one
// side only would give an image two ids, or two images one.
var beside = regexp.MustCompile(`(?s)^(?:\.(?:git|hg|jj|svn|direnv|shipped)|.*~|\.#.*|#.*#|\..*\.sw[a-p])$`)

// built is the name of a link that nix build leaves.
var built = regexp.MustCompile(`(?s)^result(?:-.*)?$`)

// readFiles reads all that belongs to the flake in tree: every file, as a profile
// may use any, but what lies beside. Symbolic links are followed to files, not to
// directories.
func readFiles(tree fs.FS) (files, error) {
	out := files{}
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name != "." && beside.MatchString(d.Name()) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.IsDir() || d.Type() == fs.ModeSymlink && built.MatchString(d.Name()) {
			return nil
		}
		info, err := fs.Stat(tree, name)
		if errors.Is(err, fs.ErrNotExist) && d.Type() == fs.ModeSymlink {
			return problem.New(problem.ConfigInvalid, "%s is a dangling symlink", name).WithHint("remove it, or create its target")
		}
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() || info.Size() > maxFile || len(out) == maxFiles {
			return problem.New(problem.ConfigInvalid, "%s does not belong in a flake: it is not a regular file, or it is too large", name).
				WithHint("move it out of the flake's directory")
		}
		out[name], err = fs.ReadFile(tree, name)
		return err
	})
	return out.withoutNewer(), err
}

// withoutNewer leaves out what an update has put beside a file that was changed.
func (f files) withoutNewer() files {
	offered := map[string]bool{}
	for name := range f {
		if of, ok := strings.CutSuffix(name, newSuffix); ok && path.Base(name) != newSuffix {
			_, offered[name] = f[of]
		}
	}
	maps.DeleteFunc(f, func(name string, _ []byte) bool { return offered[name] })
	return f
}

// list names each file and the digest of its content, a line each, in the order
// in which a walk of the directory meets them. The document does not count.
func (f files) list() string {
	names := slices.DeleteFunc(slices.Collect(maps.Keys(f)), func(name string) bool { return name == document })
	slices.SortFunc(names, func(a, b string) int { return slices.Compare(strings.Split(a, "/"), strings.Split(b, "/")) })
	for i, name := range names {
		names[i] = fmt.Sprintf("%s=%x", name, sha256.Sum256(f[name]))
	}
	return strings.Join(names, "\n")
}

// writeTo writes the files below dir. One that is a program in from is one there:
// nix keeps that of what a profile puts into the image.
func (f files) writeTo(dir, from string) error {
	for name, content := range f {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if info, err := os.Stat(filepath.Join(from, filepath.FromSlash(name))); err == nil && info.Mode()&0o111 != 0 {
			mode = 0o755
		}
		if err := os.WriteFile(path, content, mode); err != nil {
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
