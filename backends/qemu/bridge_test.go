package qemu

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// bridgeHelper is a point of the helper process: it plays qemu-bridge-helper
// and sends an open file instead of a tap device.
const bridgeHelper = "bridge: send a descriptor"

func playBridgeHelper() error {
	if fmt.Sprint(os.Args[1:]) != "[--use-vnet --fd=3 --br=br0]" {
		return fmt.Errorf("arguments %q", os.Args[1:])
	}
	f, err := os.Open(os.Getenv("NIXVM_TEST_FILE"))
	if err != nil {
		return err
	}
	return unix.Sendmsg(3, []byte{0}, unix.UnixRights(int(f.Fd())), nil, 0)
}

func TestTapComesFromTheHelper(t *testing.T) {
	dir := t.TempDir()
	self, err := os.Executable()
	must(t, err)
	helper, file := filepath.Join(dir, "helper"), filepath.Join(dir, "tap")
	must(t, os.WriteFile(file, []byte("a tap device"), 0o600))
	must(t, os.WriteFile(helper, fmt.Appendf(nil, "#!/bin/sh\nexport %s='%s' NIXVM_TEST_FILE='%s'\nexec '%s' \"$@\"\n",
		helperEnv, bridgeHelper, file, self), 0o700))
	b := &Backend{programs: programs{bridgeHelper: helper}, events: backends.NewQueue()}
	defer b.events.Close()
	if !backends.CapabilitiesOf(b).Bridge {
		t.Error("a helper, and no bridge")
	}
	if e := <-b.Events(); e.Kind != backends.CapabilitiesChanged {
		t.Errorf("a helper that was not there before: %+v", e)
	}
	tap, err := b.openTap(limit(t), "br0")
	must(t, err)
	defer tap.Close()
	if got, err := io.ReadAll(tap); err != nil || string(got) != "a tap device" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := b.openTap(limit(t), "br1"); !problem.HasCode(err, problem.VMStartFailed) {
		t.Errorf("a helper that refuses: %v", err)
	}
	for _, bad := range []string{"", "-x", "br0,fd=4", "a/b", "sixteen-letters-"} {
		if _, err := b.openTap(limit(t), bad); !problem.HasCode(err, problem.MachineInvalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for _, no := range []string{"nixvm-no-such", "lo"} {
		if err := b.CheckBridge(limit(t), no); !problem.HasCode(err, problem.MachineInvalid) {
			t.Errorf("%s is no bridge: %v", no, err)
		}
	}
	b = &Backend{programs: programs{bridgeHelper: "/nowhere"}}
	if _, err := b.openTap(limit(t), "br0"); backends.CapabilitiesOf(b).Bridge || !problem.HasCode(err, problem.Unsupported) {
		t.Errorf("without a helper: %v", err)
	}
}

// TestVMOnARealBridge wants a bridge that /etc/qemu/bridge.conf allows, in
// NIXVM_TEST_BRIDGE. A network and mount namespace makes one without touching the host:
//
//	unshare -nm sh -c 'mkdir -p /etc/qemu; mount -t tmpfs none /etc/qemu; echo allow br0 > /etc/qemu/bridge.conf;
//	  ip link add br0 type bridge; NIXVM_TEST_BRIDGE=br0 go test -run RealBridge ./backends/qemu'
func TestVMOnARealBridge(t *testing.T) {
	bridge := os.Getenv("NIXVM_TEST_BRIDGE")
	if bridge == "" {
		t.Skip("NIXVM_TEST_BRIDGE names no bridge")
	}
	s := newStage(t)
	b := s.open(t)
	spec := s.spec("vm")
	spec.Bridge = bridge
	made(t, b, spec)
	must(t, b.Start(limit(t), spec))
	ports, err := os.ReadDir("/sys/class/net/" + bridge + "/brif")
	if err == nil && len(ports) != 1 {
		t.Errorf("%d ports on the bridge", len(ports))
	}
	if _, err := b.Endpoint(limit(t), backends.Named("vm")); !problem.HasCode(err, problem.VMNotReady) {
		t.Errorf("the endpoint of a guest without an agent: %v", err)
	}
	if got := status(t, b, "vm").State; got != backends.Running {
		t.Errorf("%s", got)
	}
}
