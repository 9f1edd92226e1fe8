package proxmox_test

import (
	"context"
	"os"
	"testing"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/backendtest"
	"github.com/nixvm/nixvm/backends/backendtest/trialguest"
	"github.com/nixvm/nixvm/backends/proxmox/pvesim"
	"github.com/nixvm/nixvm/backends/proxmox/pvesim/qemuguest"
	"github.com/nixvm/nixvm/internal/nettest"
)

// A VM of the simulated cluster is a QEMU here, and its guest is asked over SSH what became
// of its disks.
func TestARealGuestBehindTheSimulator(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: this test boots a real guest")
	}
	if nettest.Inside(t) {
		backendtest.RunShort(t, realGuests(t, pvesim.Config{}))
	}
}

// realGuests is a cluster whose started VMs are guests of the trial image. The calling
// test has a network of its own.
func realGuests(t *testing.T, config pvesim.Config) backendtest.Harness {
	t.Helper()
	nettest.IP(t, "link", "set", "lo", "up")
	// With the source 127.0.0.1 a connection does not come from the guest's own address.
	nettest.IP(t, "route", "add", "local", pvesim.DefaultSubnet.String(), "dev", "lo", "src", "127.0.0.1")
	dir, err := os.MkdirTemp("", "pvesim-") // the names of sockets are short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	guests, guest := qemuguest.New(dir), trialguest.New(t)
	config.Machines = guests
	w := newWorld(t, config)
	t.Cleanup(func() {
		if t.Failed() {
			for id := 100; id < 110; id++ {
				if text := guests.Log(id); text != "" {
					t.Logf("VM %d:\n%s", id, text)
				}
			}
		}
	})
	return backendtest.Harness{
		Open:    w.open,
		Spec:    func(_ testing.TB, name string) backends.Spec { return guest.Spec(name) },
		Renewed: func(_ testing.TB, name string) backends.Identity { return guest.Renewed(name) },
		Exec: func(ctx context.Context, e backends.Endpoint, command string) (string, error) {
			return guest.Exec(ctx, nil, e, command)
		},
	}
}
