package nix_test

import (
	"testing"

	"github.com/nixvm/nixvm/nixbuild/nix/nixtest"
)

// The driver is written against what nix prints, and nix changes that.
func TestTheDriverUnderstandsACurrentNix(t *testing.T) {
	nixtest.Again(t, "sid", ".", "CurrentNix|TestLong|^Fuzz")
}
