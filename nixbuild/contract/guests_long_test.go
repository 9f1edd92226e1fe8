//go:build long

package contract_test

import (
	"testing"

	"github.com/nixvm/nixvm/nixbuild"
	"github.com/nixvm/nixvm/nixbuild/contract"
	"github.com/nixvm/nixvm/nixbuild/internal/guesttest"
	"github.com/nixvm/nixvm/nixbuild/trial/trialtest"
)

// The short tests check the whole contract on immutable guests, and what depends on the
// mode on the others. Here it is the whole contract, on the image that users get.

func TestLongSemiMutableGuestObeysTheContract(t *testing.T) {
	img := trialtest.Image(t, nixbuild.SemiMutable)
	g := guesttest.Boot(t, guesttest.Config{Image: img, Identity: guesttest.NewIdentity(t, "semi"), StateDisk: guesttest.NewDisk(t, 2*gib)})
	contract.Run(t, guesttest.Target(img, g))
}

func TestLongMutableGuestObeysTheContract(t *testing.T) {
	img := trialtest.Image(t, nixbuild.Mutable)
	g := guesttest.Boot(t, guesttest.Config{Image: img, Identity: guesttest.NewIdentity(t, "mutable"), StateDisk: guesttest.MutableDisk(t, img, 3*gib)})
	contract.Run(t, guesttest.Target(img, g))
}
