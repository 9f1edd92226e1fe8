package nixbuild

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/nixvm/nixvm/internal/problem"
)

// rootsDir holds a symbolic link for each image whose files are in the Nix
// store: <id> -> /nix/store/... . nix takes such a link for a root of its garbage
// collection as long as it is there.
const rootsDir = ".roots"

// RootsDir is where the links of a store in dir are.
func RootsDir(dir string) string { return filepath.Join(dir, rootsDir) }

// ReadStorePath reads the image that a build has put into the Nix store, and
// judges it: its files have to be there, and its disk has to be one.
func ReadStorePath(ctx context.Context, path string) (Image, error) {
	img, err := ReadImage(path)
	if err != nil {
		return Image{}, err
	}
	img.StorePath = path
	if err := checkFiles(img); err != nil {
		return Image{}, err
	}
	disk := img.Disk
	if err := checkDisk(ctx, img.DiskPath(), &disk); err != nil {
		return Image{}, err
	}
	if disk != img.Disk {
		return Image{}, problem.New(problem.ImageCorrupt, "image.json in %s describes a %s disk of %d bytes, the file is %s with %d bytes",
			path, img.Disk.Format, img.Disk.VirtualSize, disk.Format, disk.VirtualSize)
	}
	return img, nil
}

// sweepRoots removes the links of images that are not there, such as those of a
// build that died before it was done.
func (s *Store) sweepRoots() {
	links, err := os.ReadDir(RootsDir(s.dir))
	if err != nil {
		return
	}
	for _, l := range links {
		id := l.Name()
		if _, err := os.Lstat(filepath.Join(s.dir, id)); !errors.Is(err, fs.ErrNotExist) || strings.HasPrefix(id, ".") {
			continue
		}
		if unlock, ok := s.tryLockID(id); ok {
			if _, err := os.Lstat(filepath.Join(s.dir, id)); errors.Is(err, fs.ErrNotExist) {
				os.Remove(filepath.Join(RootsDir(s.dir), id))
			}
			unlock()
		}
	}
}
