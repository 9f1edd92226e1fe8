package contract_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/nixbuild"
	"github.com/nixvm/nixvm/nixbuild/contract"
	"github.com/nixvm/nixvm/nixbuild/internal/guesttest"
	"github.com/nixvm/nixvm/nixbuild/nix/nixtest"
	"github.com/nixvm/nixvm/nixbuild/nixos"
	"github.com/nixvm/nixvm/nixbuild/nixos/nixostest"
	"github.com/nixvm/nixvm/nixbuild/trial/trialtest"
)

// The driver of nix from end to end: nix itself builds, from a flake, an image
// that boots. There is no nixpkgs where this runs, so what the derivation makes
// is the small guest's image, and the guest is no NixOS; the way is the same.
func TestAnImageThatNixHasBuiltBootsOutOfItsStore(t *testing.T) {
	small := trialtest.Tiny(t)
	store := nixtest.Store(t)
	dir := t.TempDir()
	own := filepath.Join(dir, "flake")
	if err := nixostest.Write(own, small.Dir); err != nil {
		t.Fatal(err)
	}
	images := filepath.Join(dir, "images")
	s := nixbuild.OpenStore(images, nixos.New(nixos.NewFlake(own, os.DirFS(own), func(string) {}), nixbuild.RootsDir(images)))
	var img nixbuild.Image
	err := nixtest.Retry(func() (err error) {
		img, err = s.Ensure(t.Context(), nixbuild.Request{Kind: nixos.Kind, Mode: nixbuild.Immutable, Profiles: []string{"dev"}}, nil)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(img.KernelPath(), store+"/") || img.Disk.SHA256 != small.Disk.SHA256 {
		t.Errorf("got %+v", img)
	}
	id := guesttest.NewIdentity(t, "fromnix")
	g := guesttest.Boot(t, guesttest.Config{Image: img, Identity: id, StateDisk: guesttest.NewDisk(t, gib)})
	contract.Machine(t, guesttest.Target(img, g))
}
