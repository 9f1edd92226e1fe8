// Package damaged keeps state files that cannot be read out of the way of what
// is made in their place, without losing them.
//
// A power cut, a full disk or a failing one leaves files that are empty, cut off
// or full of zeros. The reader of such a file recreates its content from what
// else there is, and sets the damaged one aside: it stays beside the new one, under
// a name that says since when, for a person to look at.
package damaged

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/internal/atomicfile"
)

// infix is between the name of a file and the time at which it was set aside.
const infix = ".damaged-"

// attempts bounds the search for a free name: two files of one second.
const attempts = 100

// SetAside renames a file, durably, to <path>.damaged-<time> and returns the new
// path. A file that is not there is no error, and the path is then empty.
func SetAside(path string) (string, error) { return setAside(path, renameat2) }

func setAside(path string, rename func(from, to string) error) (string, error) {
	stem := path + infix + time.Now().UTC().Format("20060102T150405Z")
	aside := stem
	for n := 1; n <= attempts; n++ {
		// Never over an older one: that may be the better of the two.
		err := renameNew(path, aside, rename)
		switch {
		case err == nil:
			return aside, atomicfile.SyncDir(filepath.Dir(path))
		case errors.Is(err, fs.ErrNotExist):
			return "", nil
		case !errors.Is(err, fs.ErrExist):
			return "", fmt.Errorf("set the damaged file %s aside: %w", path, err)
		}
		aside = fmt.Sprintf("%s-%d", stem, n)
	}
	return "", fmt.Errorf("set the damaged file %s aside: %w", path, fs.ErrExist)
}

// renameNew renames a file to a name that is free.
func renameNew(from, to string, rename func(from, to string) error) error {
	err := rename(from, to)
	if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS) {
		return err
	}
	// The file system, such as NFS, cannot ensure it by itself. No other program makes files
	// of that name.
	if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(fs.ErrExist, err)
	}
	return os.Rename(from, to)
}

func renameat2(from, to string) error {
	return unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
}

// Is reports whether a file name is one that SetAside gives.
func Is(name string) bool { return strings.Contains(filepath.Base(name), infix) }

// Find lists what was set aside in directories and those right below them. What
// cannot be read is left out.
func Find(dirs ...string) []string {
	var found []string
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			path := filepath.Join(dir, e.Name())
			switch {
			case Is(e.Name()):
				found = append(found, path)
			case e.IsDir():
				below, err := os.ReadDir(path)
				if err != nil {
					continue
				}
				for _, b := range below {
					if Is(b.Name()) {
						found = append(found, filepath.Join(path, b.Name()))
					}
				}
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}
