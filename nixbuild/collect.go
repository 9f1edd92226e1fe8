package nixbuild

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/api"
)

// Collected is what a collection has made of one image.
type Collected = api.CollectedImage

// Rules say what a collection keeps.
type Rules struct {
	// Claim is called before an image is removed. It says what needs the image,
	// e.g. "demo"; when that is "", no use of it begins until release.
	Claim func(id string) (user string, release func(), err error)
	// All removes also what would be built again as it is.
	All bool
	// DryRun removes nothing.
	DryRun bool
}

// Collect removes the images that nothing needs: those of an earlier version of
// their flake or recipe, those that were imported, and broken ones. What is in
// use stays, and so does what is being made. Several processes may collect at
// once, beside builds. An error is about one image; the others were seen to,
// unless ctx has ended.
func (s *Store) Collect(ctx context.Context, rules Rules) ([]Collected, []error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, []error{err}
	}
	var out []Collected
	var errs []error
	for _, e := range entries {
		if !s.isDir(e) || strings.HasPrefix(e.Name(), ".") || !imageID.MatchString(e.Name()) {
			continue
		}
		if ctx.Err() != nil {
			return out, append(errs, ctx.Err())
		}
		c, err := s.collect(ctx, e.Name(), rules)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		out = append(out, c)
	}
	return out, errs
}

func (s *Store) collect(ctx context.Context, id string, rules Rules) (Collected, error) {
	img, broken := s.Get(id)
	c := Collected{ID: id, Bytes: s.Size(id)}
	var err error
	if c.Kept, err = s.removeUnused(id, rules, broken == nil && !rules.All && s.current(img)); err != nil || c.Kept != "" || rules.DryRun {
		return c, err
	}
	// Nothing is held any more: nix may wait for minutes, for what it does otherwise.
	if d, ok := s.builders[kindOf(id)].(Discarder); ok && img.StorePath != "" && d.Discard(ctx, img) != nil {
		c.Note = "its files stay in the Nix store until nix store gc"
	}
	return c, nil
}

// removeUnused removes an image, unless it says why it is kept. With DryRun it
// removes nothing.
func (s *Store) removeUnused(id string, rules Rules, current bool) (kept string, err error) {
	user, release, err := rules.Claim(id)
	if err != nil {
		return "", err
	}
	if user != "" {
		return "used by " + user, nil
	}
	defer release()
	if current {
		return "it is up to date; --all removes it too", nil
	}
	unlock, ok := s.tryLockID(id)
	if !ok {
		return "it is being made", nil
	}
	defer unlock()
	if rules.DryRun {
		return "", nil
	}
	return "", s.Remove(id)
}

// current reports whether a build would give this very image.
func (s *Store) current(img Image) bool {
	b, ok := s.builders[kindOf(img.ID)]
	if !ok {
		return false
	}
	id, err := b.ID(Request{Kind: b.Kind(), Mode: img.Mode, Profiles: img.Profiles})
	return err == nil && id == img.ID
}

// kindOf is the kind of image that an id names: ids begin with it.
func kindOf(id string) string {
	kind, _, _ := strings.Cut(id, "-")
	return kind
}

// Size is how many bytes an image takes on the disk.
func (s *Store) Size(id string) int64 {
	dirs := []string{filepath.Join(s.dir, id)}
	if img, err := ReadImage(dirs[0]); err == nil && img.StorePath != "" {
		dirs = append(dirs, img.StorePath)
	}
	var total int64
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			var st unix.Stat_t
			if unix.Lstat(filepath.Join(dir, e.Name()), &st) == nil {
				total += st.Blocks * 512
			}
		}
	}
	return total
}
