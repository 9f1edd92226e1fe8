package libvirttest_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nixvm/nixvm/backends/libvirt/libvirttest"
)

// idle is a domain of a few megabytes without disks or network.
const idle = `<domain type='qemu'><name>idle</name><uuid>6f1c1f7e-1d2b-4c57-9a51-1b0d3a6c9e01</uuid>
<memory unit='MiB'>64</memory><vcpu>1</vcpu><os><type machine='q35'>hvm</type></os></domain>`

func TestAHostStartsEmptyAndRunsDomainsAndNetworks(t *testing.T) {
	h, other := libvirttest.Start(t), libvirttest.Start(t)
	for _, list := range []string{"list", "net-list", "pool-list", "nwfilter-list"} {
		args := []string{list}
		if list != "nwfilter-list" {
			args = append(args, "--all")
		}
		if got := h.Virsh(t, args...); got != "" {
			t.Errorf("%s of a new host: %s", list, got)
		}
	}
	h.StartDefaultNetwork(t)
	h.Define(t, "define", idle)
	h.Virsh(t, "start", "idle")

	h.KillLibvirtd(t)
	h.StartLibvirtd(t)
	if got := h.Virsh(t, "domstate", "idle"); got != "running" {
		t.Errorf("after a crash of libvirtd the domain is %s", got)
	}
	h.StopLibvirtd(t)
	h.StartLibvirtd(t)
	killGuest(t, h)
	if got := h.Run(t, "ip", "-brief", "address", "show", "virbr0"); !strings.Contains(got, "192.168.122.1/24") {
		t.Errorf("virbr0: %s", got)
	}
	if got := other.Virsh(t, "list", "--all") + other.Virsh(t, "net-list", "--all"); got != "" {
		t.Errorf("another host sees: %s", got)
	}
}

// killGuest kills the domain, once libvirtd has its monitor, and waits until
// libvirtd says so.
func killGuest(t *testing.T, h *libvirttest.Host) {
	t.Helper()
	h.Virsh(t, "qemu-monitor-command", "idle", `{"execute":"query-status"}`)
	h.KillGuest(t, "idle")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for h.Virsh(t, "domstate", "idle", "--reason") != "shut off (crashed)" {
		if ctx.Err() != nil {
			t.Fatal("libvirtd never saw that the guest was killed")
		}
	}
}

func TestASessionIsOfAPlainUser(t *testing.T) {
	h := libvirttest.StartSession(t)
	h.Define(t, "define", idle)
	h.Virsh(t, "start", "idle")
	killGuest(t, h)
}

func TestNothingOfAHostRemains(t *testing.T) {
	var dir string
	t.Run("host", func(t *testing.T) {
		h := libvirttest.Start(t)
		dir = h.Dir
		h.Define(t, "define", idle)
		h.Virsh(t, "start", "idle")
	})
	if _, err := os.Stat(dir); dir != "" && !os.IsNotExist(err) {
		t.Errorf("its directory: %v", err)
	}
	processes, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range processes {
		line, err := os.ReadFile("/proc/" + p.Name() + "/cmdline")
		if err == nil && dir != "" && strings.Contains(string(line), dir) {
			t.Errorf("process %s is left: %s", p.Name(), line)
		}
	}
}
