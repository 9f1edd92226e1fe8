//go:build long

package proxmox_test

import (
	"testing"

	"github.com/nixvm/nixvm/backends/backendtest"
	"github.com/nixvm/nixvm/backends/proxmox/pvesim"
	"github.com/nixvm/nixvm/internal/nettest"
)

func TestLongConformanceWithRealGuests(t *testing.T) {
	if nettest.Inside(t) {
		backendtest.Run(t, realGuests(t, pvesim.Config{}))
	}
}
