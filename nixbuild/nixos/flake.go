package nixos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nixvm/nixvm/internal/atomicfile"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/nixbuild"
)

// Flake is the user's copy of the flake.
//
// Beside its files, in .shipped/, lies what nixvmd has written last. That tells
// what the user has changed from what is only old: an update replaces a file
// that is as it was shipped, leaves one alone that was changed or removed, and
// puts the new version of a changed one beside it as FILE.new. A directory with an
// image.nix that nixvmd has not written is a flake of the user's own making, and
// left alone.
type Flake struct {
	dir     string
	shipped fs.FS
	say     func(text string) // takes what the user should know

	mu      sync.Mutex
	updated bool // this process has found it up to date, or made it so
}

// shippedDir holds the files as nixvmd has written them, and lockFile in it keeps
// two updates apart.
const (
	shippedDir = ".shipped"
	lockFile   = ".lock"
)

// NewFlake returns the flake in dir. shipped is what this nixvmd brings; say is
// told, a sentence each, what became of files that were changed.
func NewFlake(dir string, shipped fs.FS, say func(text string)) *Flake {
	return &Flake{dir: dir, shipped: shipped, say: say}
}

// Dir is where the user edits it.
func (f *Flake) Dir() string { return f.dir }

// Profiles lists the profiles, also before the flake is written. A flake that
// cannot be read has those that are shipped: which of them are agents decides
// what the host keeps from a VM.
func (f *Flake) Profiles() nixbuild.Catalogue { return f.expected().catalogue() }

// expected is what current will return, as far as that can be said without
// writing anything and without errors.
func (f *Flake) expected() files {
	own, err := f.read()
	if err == nil && (f.written() || f.foreign()) {
		return own // what is missing was removed, or never there
	}
	all, shippedErr := readFiles(f.shipped)
	if shippedErr != nil {
		all = files{}
	}
	maps.Copy(all, own)
	return all
}

// written reports whether nixvmd has written the flake, or begun to.
func (f *Flake) written() bool { return exists(filepath.Join(f.dir, shippedDir)) }

// foreign reports whether the flake is of the user's own making.
func (f *Flake) foreign() bool {
	return exists(filepath.Join(f.dir, "image.nix")) && !f.written()
}

func (f *Flake) read() (files, error) { return readDir(f.dir) }

// current returns what would be built: the flake up to date, or, as long as the
// user has none, the one that is shipped. Looking at it makes none.
func (f *Flake) current() (files, error) {
	if !exists(f.dir) {
		return readFiles(f.shipped)
	}
	if err := f.Update(); err != nil {
		return nil, err
	}
	return f.read()
}

// Notes says, a sentence each, which new versions lie beside files that the user
// has changed.
func (f *Flake) Notes() []string {
	var notes []string
	_ = filepath.WalkDir(f.dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return fs.SkipDir // what cannot be read is said by who needs it
		case d.IsDir() && d.Name() == shippedDir:
			return fs.SkipDir
		case strings.HasSuffix(path, newSuffix) && d.Type().IsRegular():
			notes = append(notes, fmt.Sprintf("%s has your changes; the version of this nixvmd is %s: merge what you need from it and remove it",
				strings.TrimSuffix(path, newSuffix), filepath.Base(path)))
		}
		return nil
	})
	return notes
}

// lockLimit is how long another process may take for the same update.
const lockLimit = time.Minute

// Update writes the flake, or brings it up to date with what is shipped.
func (f *Flake) Update() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.updated && exists(f.dir) || f.foreign() {
		return nil
	}
	now, err := readFiles(f.shipped)
	if err != nil {
		return err
	}
	before := filepath.Join(f.dir, shippedDir)
	if err := os.MkdirAll(before, 0o700); err != nil {
		return fmt.Errorf("make the flake: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), lockLimit)
	defer cancel()
	unlock, err := nixbuild.Lock(ctx, filepath.Join(before, lockFile))
	if err != nil {
		return err
	}
	defer unlock()
	old, err := readDir(before)
	if err != nil {
		return err
	}
	delete(old, lockFile)
	names := maps.Clone(old)
	maps.Copy(names, now)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if err := f.updateFile(name, old, now); err != nil {
			return fmt.Errorf("update the flake in %s: %w", f.dir, err)
		}
	}
	f.updated = true
	return nil
}

// updateFile brings one file up to date, and then what is known to be shipped of
// it: after a crash in between the next update finds nothing to do.
func (f *Flake) updateFile(name string, old, now files) error {
	was, before := old[name]
	is, after := now[name]
	if before && after && bytes.Equal(was, is) {
		return nil
	}
	path, known := filepath.Join(f.dir, filepath.FromSlash(name)), filepath.Join(f.dir, shippedDir, filepath.FromSlash(name))
	mine, err := os.ReadFile(path)
	exists := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	untouched := exists == before && bytes.Equal(mine, was)
	if !after {
		if err := f.takeAway(path, exists, untouched); err != nil {
			return err
		}
		return atomicfile.Remove(known)
	}
	err = nil // it may be missing
	switch {
	case untouched:
		err = write(path, is)
	case !exists || !bytes.Equal(mine, is):
		err = f.offer(path, is, exists)
	}
	if err != nil {
		return err
	}
	return write(known, is)
}

// takeAway removes a file that is not shipped any more.
func (f *Flake) takeAway(path string, exists, untouched bool) error {
	switch {
	case !exists:
		return nil
	case untouched:
		return atomicfile.Remove(path)
	}
	f.say(fmt.Sprintf("%s is kept with your changes; this nixvmd no longer provides it", path))
	return nil
}

// offer puts what is shipped beside a file that the user has changed.
func (f *Flake) offer(path string, is []byte, exists bool) error {
	if !exists {
		f.say(fmt.Sprintf("%s: you have removed it; the new version of this nixvmd is not added", path))
		return nil
	}
	f.say(fmt.Sprintf("%s is kept with your changes; the version of this nixvmd is beside it: %s", path, filepath.Base(path)+newSuffix))
	return write(path+newSuffix, is)
}

func write(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return atomicfile.Write(path, content, 0o600)
}

// inPlace makes a problem name the user's files where it names nix's copies.
func (f *Flake) inPlace(err error, snapshot string) error {
	var p *problem.Error
	if !errors.As(err, &p) {
		return err
	}
	mine := *p
	for _, text := range []*string{&mine.Message, &mine.Hint} {
		*text = strings.ReplaceAll(*text, snapshot, f.dir)
		*text = storeSource.ReplaceAllStringFunc(*text, func(found string) string {
			m := storeSource.FindStringSubmatch(found)
			if path := filepath.Join(f.dir, m[1]); exists(path) {
				return path
			}
			return found
		})
		*text = strings.ReplaceAll(*text, "nix flake lock FLAKE", "nix flake lock "+f.dir)
	}
	return &mine
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
