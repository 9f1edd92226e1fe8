package qemu

import (
	"os"

	"github.com/nixvm/nixvm/backends"
)

// Capabilities says what is true of this backend on this host.
func (b *Backend) Capabilities() backends.Capabilities {
	return backends.Capabilities{
		LiveSnapshot:  true,
		ThinClone:     true,
		Bridge:        b.findBridgeHelper() != "",
		Console:       true,
		Suspend:       true,
		Resize:        true,
		Clone:         true,
		CloneSnapshot: true,
		HostFirewall:  true, // of the user-mode network; a bridge has none
	}
}

// bridgeHelpers are where distributions keep the set-uid helper that hands out
// tap devices on bridges that /etc/qemu/bridge.conf allows.
var bridgeHelpers = []string{
	"/usr/lib/qemu/qemu-bridge-helper",     // Debian, Ubuntu, Arch
	"/usr/libexec/qemu-bridge-helper",      // Fedora
	"/run/wrappers/bin/qemu-bridge-helper", // NixOS
	"/usr/lib/qemu-bridge-helper",          // openSUSE
}

// findBridgeHelper returns the helper's path, or "".
func (b *Backend) findBridgeHelper() string {
	places := bridgeHelpers
	if b.programs.bridgeHelper != "" {
		places = []string{b.programs.bridgeHelper}
	}
	for _, p := range places {
		if st, err := os.Stat(p); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
			return p
		}
	}
	return ""
}
