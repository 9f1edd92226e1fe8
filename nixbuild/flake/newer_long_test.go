//go:build long

package flake

import (
	"testing"

	"github.com/nixvm/nixvm/nixbuild/nix/nixtest"
)

func TestLongTheFlakeIsReadByTheVersionsBetween(t *testing.T) {
	nixtest.Again(t, "trixie", ".", "CurrentNix|NixOS|TestLong")
}
