// Package diskspace reads the room in file systems of this host, and what files take of it.
package diskspace

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/backends"
)

// Of is the file system of a directory, or of the nearest one above it that exists.
func Of(dir string) (backends.Space, error) {
	for {
		var st unix.Stat_t
		var sys unix.Statfs_t
		err := errors.Join(unix.Stat(dir, &st), unix.Statfs(dir, &sys))
		if parent := filepath.Dir(dir); errors.Is(err, fs.ErrNotExist) && parent != dir {
			dir = parent
			continue
		}
		if err != nil {
			return backends.Space{}, fmt.Errorf("free space of %s: %w", dir, err)
		}
		return backends.Space{
			Storage: fmt.Sprintf("device %d", st.Dev), Name: dir, Free: int64(sys.Bavail) * sys.Bsize,
		}, nil
	}
}
