// Package trialtest gives tests of any package a trial image to boot.
//
// Images are built once for each set of inputs and kept in ~/.cache/nixvm-test
// (or $NIXVM_TEST_CACHE), so that the first test pays two minutes and all later
// ones nothing. Several test processes may ask at once: one builds, the others
// wait. Nothing in the cache may be written to: put an overlay on the disk.
package trialtest

import (
	"context"
	"errors"
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
	return ensure(t, nixbuild.Request{Kind: "tiny", Mode: nixbuild.Immutable})
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
	img, err := Store(t).Ensure(ctx, req, logSteps(t))
	if err != nil {
		var p *problem.Error
		if errors.As(err, &p) && p.Hint != "" {
			t.Fatalf("no image for this test: %v\n  %s", err, p.Hint)
		}
		t.Fatalf("no image for this test: %v", err)
	}
	return img
}

// logSteps prints what is being waited for. Not by t.Log: a build may end after
// a test that gave up.
func logSteps(t testing.TB) progress.Reporter {
	name, last := t.Name(), ""
	return func(u progress.Update) {
		if u.Message != "" && u.Message != last {
			last = u.Message
			os.Stderr.WriteString(name + ": image: " + last + "\n")
		}
	}
}
