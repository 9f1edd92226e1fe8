package sshconfig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// lock takes the instance's lock, and then that of the directory that holds the
// user's file: another instance (another NIXVM_HOME) may edit the same file.
// Locking the directory itself leaves no lock file in ~/.ssh.
func (c *Config) lock(ctx context.Context) (unlock func(), err error) {
	own, err := flock(ctx, filepath.Join(c.dir, "lock"), os.O_CREATE|os.O_RDWR)
	if err != nil {
		return nil, err
	}
	dir, err := c.lockUserDir(ctx)
	if err != nil {
		_ = own.Close()
		return nil, err
	}
	return func() {
		if dir != nil {
			_ = dir.Close()
		}
		_ = own.Close()
	}, nil
}

// lockUserDir locks the directory that the user's file lies in now: the one that
// was waited for may have been removed (or the missing one created) meanwhile. One
// that must not be read has no lock, which is nil.
func (c *Config) lockUserDir(ctx context.Context) (*os.File, error) {
	for {
		dir, err := flock(ctx, existingParent(c.opts.UserConfig), os.O_RDONLY)
		if errors.Is(err, os.ErrPermission) {
			return nil, nil // nothing can be written there, so no other lock can be in the way
		}
		if err != nil {
			if errors.Is(err, os.ErrNotExist) && ctx.Err() == nil {
				continue
			}
			return nil, err
		}
		have, err1 := dir.Stat()
		want, err2 := os.Stat(existingParent(c.opts.UserConfig))
		if err1 == nil && err2 == nil && os.SameFile(have, want) {
			return dir, nil
		}
		_ = dir.Close()
	}
}

// existingParent is the nearest directory above path that exists, symlinks of
// path itself resolved: the file is replaced in the directory it really lies in.
func existingParent(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if fi, err := os.Stat(dir); err == nil && fi.IsDir() || dir == filepath.Dir(dir) {
			return dir
		}
	}
}

// flock waits for the exclusive lock of a file or directory. The wait is a poll
// because flock(2) cannot be cancelled otherwise.
func flock(ctx context.Context, path string, flags int) (*os.File, error) {
	f, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			_ = f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		select {
		case <-ctx.Done():
			_ = f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, ctx.Err())
		case <-tick.C:
		}
	}
}
