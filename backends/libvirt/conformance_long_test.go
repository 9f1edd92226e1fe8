//go:build long

package libvirt_test

import (
	"testing"

	"github.com/nixvm/nixvm/backends/backendtest"
	"github.com/nixvm/nixvm/backends/libvirt/libvirttest"
)

func TestLongConformanceOfASession(t *testing.T) {
	conform(t, newHost(t, libvirttest.StartSession(t)))
}

func TestLongConformanceInAPool(t *testing.T) {
	h := libvirttest.Start(t)
	h.StartDefaultNetwork(t)
	host := newHost(t, h)
	host.config.Pool = "nixvm"
	backendtest.Run(t, host.harness())
}

func TestLongTwoHundredDomainsAndAStormOfEvents(t *testing.T) {
	storm(t, 200)
}
