package flake

import (
	"testing"

	"github.com/nixvm/nixvm/nixbuild/nix/nixtest"
)

// What is asked of the flake without nixpkgs, and the store of a guest, by a nix of
// the time of the nixpkgs that it pins.
func TestTheFlakeIsReadByACurrentNix(t *testing.T) {
	nixtest.Again(t, "sid", "NixFile|Lock|Request|Profile|Flake|Counts|Modules|Store|Mode", "CurrentNix|NixOS|TestLong")
}
