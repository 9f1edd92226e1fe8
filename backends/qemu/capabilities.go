package qemu

import (
	"os"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/hypervisor"
)

// What this backend can do besides the life cycle of VMs.
var _ hypervisor.Backend = (*Backend)(nil)

// Offers implements backends.Conditional: bridges need QEMU's helper, which may be
// installed, or removed, at any time.
func (b *Backend) Offers(optional any) bool {
	if _, bridge := optional.(*backends.BridgeHost); !bridge {
		return true
	}
	there := b.findBridgeHelper() != ""
	if b.bridges.Swap(there) != there {
		b.events.Push(backends.Event{Kind: backends.CapabilitiesChanged})
	}
	return there
}

// SnapshotsLive holds: QEMU takes snapshots while it runs.
func (b *Backend) SnapshotsLive() bool { return true }

// ClonesSnapshots holds: qemu-img reads them.
func (b *Backend) ClonesSnapshots() bool { return true }

// Isolates holds for the user-mode network; on a bridge nothing isolates a VM.
func (b *Backend) Isolates(bridge string) bool { return bridge == "" }

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
