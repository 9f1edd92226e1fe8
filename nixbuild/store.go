package nixbuild

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/nixvm/nixvm/internal/atomicfile"
	"github.com/nixvm/nixvm/internal/problem"
)

// cacheDir holds what builders keep between builds, such as root trees.
const cacheDir = ".cache"

// Store is the directory of images. Several processes may use one directory;
// its methods may be called at once.
//
//	<id>/              an image
//	.build-*/          one being built or imported; its .lock is held meanwhile
//	.cache/            what builders keep between builds
//	.roots/<id>        link to an image's files in the Nix store, which keeps them there
//	.<id>.lock         held while this id is built, so that it is built once
type Store struct {
	dir      string
	builders map[string]Builder

	mu    sync.Mutex
	calls map[string]*call // builds of this process, by image id
}

// OpenStore returns the store in dir, which is created if it is not there, and
// sweeps what builds that died have left. Errors show at the first use.
func OpenStore(dir string, builders ...Builder) *Store {
	s := &Store{dir: dir, builders: map[string]Builder{}, calls: map[string]*call{}}
	for _, b := range builders {
		s.builders[b.Kind()] = b
	}
	if os.MkdirAll(dir, 0o700) == nil {
		s.sweep()
		s.sweepRoots()
	}
	return s
}

// CacheDir is where the builders of a store in dir keep what they reuse.
func CacheDir(dir string) string { return filepath.Join(dir, cacheDir) }

// Dir is the directory of the store.
func (s *Store) Dir() string { return s.dir }

// List returns all images, by id, and one error for each directory that holds
// no valid one.
func (s *Store) List() ([]Image, []error) {
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, []error{err}
	}
	var images []Image
	var errs []error
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") || !s.isDir(e) {
			continue
		}
		img, err := s.Get(e.Name())
		if err != nil {
			errs = append(errs, err)
			continue
		}
		images = append(images, img)
	}
	return images, errs
}

// isDir follows links: an image may have been put on another disk.
func (s *Store) isDir(e fs.DirEntry) bool {
	if e.Type() != fs.ModeSymlink {
		return e.IsDir()
	}
	fi, err := os.Stat(filepath.Join(s.dir, e.Name()))
	return err == nil && fi.IsDir()
}

// Get returns the image of that id: image.not_found if there is none,
// image.corrupt if its description or a file of it is missing or wrong in size.
func (s *Store) Get(id string) (Image, error) {
	if !imageID.MatchString(id) {
		return Image{}, problem.New(problem.ImageNotFound, "no image %.60q", id)
	}
	img, err := ReadImage(filepath.Join(s.dir, id))
	if err != nil {
		return Image{}, err
	}
	if img.ID != id {
		return Image{}, corrupt(img, "image.json names another image, %s", img.ID)
	}
	return img, checkFiles(img)
}

// checkFiles is the cheap check of every Get; Verify is the thorough one.
func checkFiles(img Image) error {
	for _, path := range []string{img.DiskPath(), img.KernelPath(), img.InitrdPath()} {
		if path == "" {
			continue
		}
		fi, err := os.Lstat(path)
		if err != nil || !fi.Mode().IsRegular() || fi.Size() == 0 {
			return corrupt(img, "the file %s is missing or empty", filepath.Base(path))
		}
	}
	return nil
}

func corrupt(img Image, format string, args ...any) error {
	return problem.New(problem.ImageCorrupt, "image in %s: %s", img.Dir, fmt.Sprintf(format, args...)).
		WithHint("rebuild the image with nixvmd build, or import it again; VMs created from it keep their disks")
}

// Verify reads the whole disk file and compares its digest: image.corrupt if it
// is another one.
func (s *Store) Verify(ctx context.Context, img Image) error {
	if err := checkFiles(img); err != nil {
		return err
	}
	sum, err := SumFile(ctx, img.DiskPath())
	if err != nil {
		return err
	}
	if sum != img.Disk.SHA256 {
		return corrupt(img, "the disk has changed since it was built")
	}
	return nil
}

// Remove deletes an image. The caller knows that no machine uses it. A missing
// image is no error. Files in the Nix store are nix's to collect from then on.
func (s *Store) Remove(id string) error {
	if !imageID.MatchString(id) {
		return problem.New(problem.ImageNotFound, "no image %.60q", id)
	}
	if err := s.drop(id); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(RootsDir(s.dir), id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// drop removes the directory of an image.
func (s *Store) drop(id string) error {
	// It disappears by a rename: a crash leaves no half image under its name.
	gone, err := os.MkdirTemp(s.dir, buildPrefix)
	if err != nil {
		return err
	}
	defer os.RemoveAll(gone)
	if err := os.Rename(filepath.Join(s.dir, id), filepath.Join(gone, "image")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return atomicfile.SyncDir(s.dir)
}

// Profiles lists what images can have; Images says which kinds have each. Core
// comes first, the others by name.
func (s *Store) Profiles() Catalogue {
	var all Catalogue
	for _, kind := range s.kinds() { // "nixos" describes what others have too
		all = all.merge(s.builders[kind].Profiles())
	}
	all.Sort()
	return all
}

// CanBuild reports whether images of a kind can be built on this host.
func (s *Store) CanBuild(kind string) bool {
	b, ok := s.builders[kind]
	return ok && len(b.Check()) == 0
}

// CheckRequest refuses what Ensure could not build: unknown profiles, a kind
// without builder, missing programs. A cached image needs no programs. It
// returns the id that the image has or will have.
func (s *Store) CheckRequest(req Request) (id string, err error) {
	b, id, err := s.resolve(req)
	if err != nil {
		return "", err
	}
	if _, err := s.Get(id); err == nil {
		return id, nil
	}
	if missing := b.Check(); len(missing) > 0 {
		return "", MissingPrograms(req.Kind, missing)
	}
	return id, nil
}

// Missing says what keeps images from being built on this host: a problem for
// the kinds that miss the same programs.
func (s *Store) Missing() []*problem.Error {
	var out []*problem.Error
	kinds := s.kinds()
	for i, kind := range kinds {
		missing := s.builders[kind].Check()
		same := func(other string) bool { return slices.Equal(s.builders[other].Check(), missing) }
		if len(missing) == 0 || slices.ContainsFunc(kinds[:i], same) {
			continue
		}
		var together []string
		for _, other := range kinds[i:] {
			if same(other) {
				together = append(together, other)
			}
		}
		out = append(out, MissingPrograms(strings.Join(together, " and "), missing))
	}
	return out
}

// Notes is what the builders have to tell their user, a sentence each.
func (s *Store) Notes() []string {
	var out []string
	for _, kind := range s.kinds() {
		if n, ok := s.builders[kind].(Noter); ok {
			out = append(out, n.Notes()...)
		}
	}
	return out
}

func (s *Store) kinds() []string {
	var out []string
	for kind := range s.builders {
		out = append(out, kind)
	}
	slices.Sort(out)
	return out
}

// resolve finds the builder and the id of a request.
func (s *Store) resolve(req Request) (Builder, string, error) {
	b, ok := s.builders[req.Kind]
	if !ok && !slices.Contains([]string{"nixos", "trial"}, req.Kind) {
		return nil, "", problem.New(problem.BadParams, "there is no kind of image %.40q", req.Kind).
			WithHint("write nixos, trial, the path of an image file, or an URL#sha256=HEX")
	}
	if !ok {
		e := problem.New(problem.ImageUnsupported, "this version of nixvm cannot build images of the kind %.40q", req.Kind)
		return nil, "", e.WithHint("use --image trial (a Debian guest), or --image FILE with an existing image")
	}
	id, err := b.ID(req)
	return b, id, err
}

// MissingPrograms is the problem of a kind of image whose builder lacks
// programs. The hint joins their fixes.
func MissingPrograms(kind string, missing []Missing) *problem.Error {
	var names, fixes []string
	for _, m := range missing {
		names = append(names, m.Program)
		if !slices.Contains(fixes, m.Fix) {
			fixes = append(fixes, m.Fix)
		}
	}
	return problem.New(problem.BackendMissing, "building %s images needs programs that are not installed: %s", kind, strings.Join(names, ", ")).
		WithHint("%s", joinFixes(fixes))
}

// joinFixes folds "CMD a" and "CMD b" into "CMD a b" when all share a command.
func joinFixes(fixes []string) string {
	const apt = "sudo apt-get install "
	var pkgs []string
	for _, f := range fixes {
		p, ok := strings.CutPrefix(f, apt)
		if !ok {
			return strings.Join(fixes, "; ")
		}
		pkgs = append(pkgs, p)
	}
	return apt + strings.Join(pkgs, " ")
}
