//go:build long

package nixos_test

import (
	"testing"

	"github.com/nixvm/nixvm/nixbuild/nix/nixtest"
)

// The whole way from a flake to an image, with other versions of nix.
func TestLongImagesAreBuiltByOtherVersionsOfNix(t *testing.T) {
	for _, suite := range []string{"trixie", "sid"} {
		t.Run(suite, func(t *testing.T) { nixtest.Again(t, suite, ".", "TestLong|^Fuzz") })
	}
}
