//go:build long

package libvirt_test

import (
	"testing"

	"github.com/nixvm/nixvm/backends/backendtest"
	"github.com/nixvm/nixvm/backends/libvirt/libvirttest"
)

func TestLongConformanceOfASession(t *testing.T) {
	exhaust(t, newHost(t, libvirttest.StartSession(t)))
}

func TestLongConformanceInAPool(t *testing.T) {
	h := libvirttest.Start(t)
	h.StartDefaultNetwork(t)
	host := newHost(t, h)
	host.config.Pool = "nixvm"
	exhaust(t, host)
}

func TestLongConformanceOfTheSystem(t *testing.T) {
	h := libvirttest.Start(t)
	h.StartDefaultNetwork(t)
	exhaust(t, newHost(t, h))
}

func exhaust(t *testing.T, host *host) {
	h := host.harness()
	h.Exhaustive = true
	backendtest.Run(t, h)
}

func TestLongTwoHundredDomainsAndAStormOfEvents(t *testing.T) {
	storm(t, 200)
}
