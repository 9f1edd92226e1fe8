package trialtest_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/nixvm/nixvm/nixbuild"
	"github.com/nixvm/nixvm/nixbuild/trial"
	"github.com/nixvm/nixvm/nixbuild/trial/trialtest"
)

func TestASeededStoreHasTheImageAlready(t *testing.T) {
	img := trialtest.Image(t, nixbuild.Immutable, "claude")
	dir := filepath.Join(t.TempDir(), "images")
	trialtest.Seed(t, dir, img)

	s := nixbuild.OpenStore(dir, trial.New(nixbuild.CacheDir(dir)))
	// Ensure would build for a minute, and say so.
	got, err := s.Ensure(t.Context(), nixbuild.Request{Kind: "trial", Mode: nixbuild.Immutable, Profiles: []string{"claude"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got.ID != img.ID || filepath.Dir(got.Dir) != dir {
		t.Errorf("got %s in %s, want %s in %s", got.ID, got.Dir, img.ID, dir)
	}
	if err := s.Verify(t.Context(), got); err != nil {
		t.Error(err)
	}
	if err := s.Remove(got.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(img.DiskPath()); err != nil {
		t.Errorf("removing an image from a seeded store took it from the cache: %v", err)
	}
}
