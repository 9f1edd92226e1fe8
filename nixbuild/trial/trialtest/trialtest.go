// Package trialtest gives tests of any package a trial image to boot.
//
// Images are built once for each set of inputs and kept in ~/.cache/nixvm-test
// (or $NIXVM_TEST_CACHE), so that the first test pays two minutes and all later
// ones nothing. Several test processes may ask at once: one builds, the others
// wait. Nothing in the cache may be written to: put an overlay on the disk. What
// no test has asked for in two weeks is removed.
//
// A test of the whole daemon has a store of its own; Seed shows it the cached
// images, so that creating a machine there builds nothing:
//
//	trialtest.Seed(t, layout.Images(), trialtest.Image(t, nixbuild.Immutable, "claude"))
package trialtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
	"github.com/nixvm/nixvm/nixbuild"
	"github.com/nixvm/nixvm/nixbuild/trial"
)

// buildLimit is more than a build takes on a slow, loaded machine.
const buildLimit = 20 * time.Minute

// Image returns the systemd trial image of the mode ("immutable",
// "semi-mutable", "mutable") with the profiles. A test that cannot have it
// fails, and says which packages to install; under -short it is skipped.
func Image(t testing.TB, mode string, profiles ...string) nixbuild.Image {
	t.Helper()
	return ensure(t, nixbuild.Request{Kind: "trial", Mode: mode, Profiles: profiles})
}

// Tiny returns the immutable tiny image: busybox init and OpenSSH, in seconds.
func Tiny(t testing.TB) nixbuild.Image {
	t.Helper()
	return TinyIn(t, nixbuild.Immutable)
}

// TinyIn returns the tiny image of a mode.
func TinyIn(t testing.TB, mode string) nixbuild.Image {
	t.Helper()
	return ensure(t, nixbuild.Request{Kind: "tiny", Mode: mode})
}

// Store returns the store that Image and Tiny use.
func Store(t testing.TB) *nixbuild.Store {
	t.Helper()
	dir, err := Dir()
	if err != nil {
		t.Fatal(err)
	}
	cache := nixbuild.CacheDir(dir)
	return nixbuild.OpenStore(dir, trial.New(cache), trial.NewTiny(cache))
}

// Dir is the directory of the test images.
func Dir() (string, error) {
	if d := os.Getenv("NIXVM_TEST_CACHE"); d != "" {
		return filepath.Abs(d)
	}
	d, err := os.UserCacheDir()
	return filepath.Join(d, "nixvm-test"), err
}

func ensure(t testing.TB, req nixbuild.Request) nixbuild.Image {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: this test boots a real guest")
	}
	ctx, cancel := context.WithTimeout(context.Background(), buildLimit)
	defer cancel()
	store := Store(t)
	img, err := store.Ensure(ctx, req, logSteps(t))
	if err == nil {
		prune(store, img)
	}
	if err != nil {
		var p *problem.Error
		if errors.As(err, &p) && p.Hint != "" {
			t.Fatalf("no image for this test: %v\n  %s", err, p.Hint)
		}
		t.Fatalf("no image for this test: %v", err)
	}
	return img
}

// Seed puts images of the cache, and the root tree that they were built from,
// into the store directory imagesDir of a test: as hard links where that is
// possible, else as copies. They are the cache's own files: a test that damages
// an image must do so to a copy.
func Seed(t testing.TB, imagesDir string, images ...nixbuild.Image) {
	t.Helper()
	cache, err := Dir()
	if err != nil {
		t.Fatal(err)
	}
	if err := linkTree(nixbuild.CacheDir(imagesDir), nixbuild.CacheDir(cache), ".tar"); err != nil {
		t.Fatalf("seed the root tree: %v", err)
	}
	for _, img := range images {
		if err := linkTree(filepath.Join(imagesDir, img.ID), img.Dir, ""); err != nil {
			t.Fatalf("seed image %s: %v", img.ID, err)
		}
	}
}

// linkTree links the files of a directory, those with that suffix, into another.
func linkTree(to, from, suffix string) error {
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || filepath.Ext(e.Name()) != suffix && suffix != "" {
			continue
		}
		source, target := filepath.Join(from, e.Name()), filepath.Join(to, e.Name())
		err := os.Link(source, target)
		if errors.Is(err, os.ErrExist) {
			continue
		}
		if err != nil { // another file system, or hard links forbidden
			err = copyFile(target, source)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func copyFile(to, from string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.Create(to)
	if err != nil {
		return err
	}
	defer dst.Close()
	if _, err := io.Copy(dst, src); err != nil {
		return fmt.Errorf("copy %s: %w", from, err)
	}
	return dst.Close()
}

// unused is how long an image that no test asks for is kept.
const unused = 14 * 24 * time.Hour

// prune notes that the image is in use, and removes those that are not: every
// change of the recipe leaves 400 MB behind.
func prune(store *nixbuild.Store, img nixbuild.Image) {
	now := time.Now()
	// Best effort: what cannot be noted or removed now is by another test.
	_ = os.Chtimes(filepath.Join(img.Dir, nixbuild.ImageFile), now, now)
	images, _ := store.List()
	for _, old := range images {
		fi, err := os.Stat(filepath.Join(old.Dir, nixbuild.ImageFile))
		if err == nil && now.Sub(fi.ModTime()) > unused {
			_ = store.Remove(old.ID)
		}
	}
}

// logSteps prints what is being waited for. Not by t.Log: a build may end after
// a test that gave up.
func logSteps(t testing.TB) progress.Reporter {
	name, last := t.Name(), ""
	return func(u progress.Update) {
		if u.Message != "" && u.Message != last {
			last = u.Message
			_, _ = os.Stderr.WriteString(name + ": image: " + last + "\n")
		}
	}
}
