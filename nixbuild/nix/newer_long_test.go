//go:build long

package nix_test

import (
	"testing"

	"github.com/nixvm/nixvm/nixbuild/nix/nixtest"
)

func TestLongTheDriverUnderstandsTheVersionsBetween(t *testing.T) {
	nixtest.Again(t, "trixie", ".", "CurrentNix|TestLong|^Fuzz")
}
