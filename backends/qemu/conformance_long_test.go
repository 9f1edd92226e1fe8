//go:build long

package qemu_test

import (
	"testing"

	"github.com/nixvm/nixvm/backends/backendtest"
)

func TestLongConformance(t *testing.T) {
	h := newGuest(t).harness()
	h.Exhaustive = true
	backendtest.Run(t, h)
}
