package nixbuild

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/nixvm/nixvm/internal/atomicfile"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
)

const (
	buildPrefix = ".build-"
	lockName    = ".lock"
)

// call is one build that several callers of Ensure wait for. It ends early only
// when the last of them has gone.
type call struct {
	done   chan struct{}
	cancel context.CancelFunc
	img    Image
	err    error

	mu        sync.Mutex
	waiters   map[int]progress.Reporter
	next      int
	abandoned bool
}

// Ensure returns the image that is asked for, building it if the store has
// none. Several calls for the same image, in this process or another, build it
// once; each gets the progress from when it came. A caller that cancels leaves;
// the build is cancelled with the last. A failed build leaves nothing.
func (s *Store) Ensure(ctx context.Context, req Request, report progress.Reporter) (Image, error) {
	b, id, err := s.resolve(req)
	if err != nil {
		return Image{}, err
	}
	for {
		if img, err := s.Get(id); err == nil {
			return img, nil
		}
		c, key := s.join(id, b, req, report)
		select {
		case <-c.done:
		case <-ctx.Done():
			if c.leave(key) {
				<-c.done // the last one out waits until nothing of it is left
			}
			return Image{}, fmt.Errorf("build image %s: %w", id, ctx.Err())
		}
		// A build that others abandoned just before this call joined says
		// nothing about this call.
		if c.err != nil && errors.Is(c.err, context.Canceled) && ctx.Err() == nil {
			continue
		}
		return c.img, c.err
	}
}

// join enters the running build of that id, or starts one.
func (s *Store) join(id string, b Builder, req Request, report progress.Reporter) (*call, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, ok := s.calls[id]; ok {
		if key, ok := c.enter(report); ok {
			return c, key
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &call{done: make(chan struct{}), cancel: cancel, waiters: map[int]progress.Reporter{}}
	key, _ := c.enter(report)
	s.calls[id] = c
	go func() {
		defer cancel()
		c.img, c.err = s.build(ctx, id, b, req, c.report)
		s.mu.Lock()
		if s.calls[id] == c {
			delete(s.calls, id)
		}
		s.mu.Unlock()
		close(c.done)
	}()
	return c, key
}

func (c *call) enter(report progress.Reporter) (int, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.abandoned {
		return 0, false
	}
	c.next++
	c.waiters[c.next] = report
	return c.next, true
}

// leave reports whether the caller was the last one; then the build is cancelled.
func (c *call) leave(key int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiters, key)
	if len(c.waiters) > 0 {
		return false
	}
	c.abandoned = true
	c.cancel()
	return true
}

func (c *call) report(u progress.Update) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.waiters {
		r.Report(u)
	}
}

// build makes one image under the lock of its id.
func (s *Store) build(ctx context.Context, id string, b Builder, req Request, report progress.Reporter) (Image, error) {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return Image{}, err
	}
	unlock, err := s.lockID(ctx, id)
	if err != nil {
		return Image{}, err
	}
	defer unlock()
	if img, err := s.Get(id); err == nil {
		return img, nil // built by another process meanwhile
	}
	img, err := s.install(ctx, id, func(dir string) (Image, error) { return b.Build(ctx, req, dir, report) })
	if err != nil {
		os.Remove(filepath.Join(RootsDir(s.dir), id)) // nothing in the Nix store is kept for it
	}
	return img, err
}

// install makes an image in a directory beside and moves it into place when it
// is complete and on disk. make fills the directory; on any error nothing is
// left. id is the image that must come out, whose lock the caller holds; "" =
// any.
func (s *Store) install(ctx context.Context, id string, make func(dir string) (Image, error)) (Image, error) {
	dir, unlock, err := s.workDir(ctx)
	if err != nil {
		return Image{}, asDiskFull(err)
	}
	defer unlock()
	defer os.RemoveAll(dir)
	img, err := make(dir)
	if err != nil {
		return Image{}, asDiskFull(err)
	}
	if id != "" && img.ID != id {
		return Image{}, problem.New(problem.ImageBuildFailed, "the inputs of image %s changed during the build: its id would be %s now", id, img.ID).
			WithHint("build it again").Retry()
	}
	if err := WriteImage(dir, img); err != nil {
		return Image{}, asDiskFull(err)
	}
	if err := syncTree(dir); err != nil {
		return Image{}, asDiskFull(err)
	}
	if id == "" {
		unlockID, err := s.lockID(ctx, img.ID)
		if err != nil {
			return Image{}, err
		}
		defer unlockID()
	}
	if err := ctx.Err(); err != nil {
		return Image{}, err
	}
	return s.moveIn(dir, img)
}

// lockID takes the lock under which an image of that id is made, which other
// processes honour.
func (s *Store) lockID(ctx context.Context, id string) (unlock func(), err error) {
	return Lock(ctx, s.lockFile(id))
}

func (s *Store) tryLockID(id string) (unlock func(), ok bool) { return tryLock(s.lockFile(id)) }

func (s *Store) lockFile(id string) string { return filepath.Join(s.dir, "."+id+lockName) }

// moveIn gives the directory its final name. A broken image of that name, which
// is why this one was made, goes; a good one (imported before) stays.
func (s *Store) moveIn(dir string, img Image) (Image, error) {
	target := filepath.Join(s.dir, img.ID)
	if old, err := s.Get(img.ID); err == nil {
		return old, nil
	}
	if _, err := os.Lstat(target); err == nil {
		if err := s.drop(img.ID); err != nil {
			return Image{}, err
		}
	}
	if err := os.Rename(dir, target); err != nil {
		return Image{}, fmt.Errorf("add image %s to the store: %w", img.ID, err)
	}
	os.Remove(filepath.Join(target, lockName))
	if err := atomicfile.SyncDir(s.dir); err != nil {
		return Image{}, err
	}
	return s.Get(img.ID)
}

// workDir makes a directory for a build, with a lock that says that its maker lives.
func (s *Store) workDir(ctx context.Context) (string, func(), error) {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return "", nil, err
	}
	for {
		dir, err := os.MkdirTemp(s.dir, buildPrefix)
		if err != nil {
			return "", nil, err
		}
		unlock, err := Lock(ctx, filepath.Join(dir, lockName))
		if errors.Is(err, fs.ErrNotExist) {
			continue // another process swept it before it had its lock
		}
		if err != nil {
			os.RemoveAll(dir)
			return "", nil, err
		}
		return dir, unlock, nil
	}
}

// sweep removes the directories of builds whose process is dead. One without a
// lock file may be a few microseconds old, so only its emptiness is tried.
func (s *Store) sweep() {
	found, _ := filepath.Glob(filepath.Join(s.dir, buildPrefix+"*"))
	for _, dir := range found {
		f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR, 0)
		if errors.Is(err, fs.ErrNotExist) {
			sweepUnlocked(dir)
			continue
		}
		if err != nil {
			continue
		}
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			os.RemoveAll(dir)
		}
		f.Close()
	}
}

// sweepUnlocked removes what Remove left (a directory holding only "image").
func sweepUnlocked(dir string) {
	if _, err := os.Lstat(filepath.Join(dir, "image")); err == nil {
		os.RemoveAll(dir)
		return
	}
	os.Remove(dir)
}

func syncTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		f, err := os.Open(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		err = f.Sync()
		f.Close()
		if err != nil {
			return fmt.Errorf("sync %s: %w", f.Name(), err)
		}
	}
	return atomicfile.SyncDir(dir)
}

// asDiskFull gives a full disk its code; other errors pass.
func asDiskFull(err error) error {
	if problem.HasCode(err, problem.DiskFull) {
		return err
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || strings.Contains(err.Error(), "No space left on device") {
		return problem.New(problem.DiskFull, "no space left for the image: %w", err).
			WithHint("free some space: a build temporarily needs about 3 GB")
	}
	return err
}
