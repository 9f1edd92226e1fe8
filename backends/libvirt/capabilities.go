package libvirt

import (
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/hypervisor"
)

// What this backend can do besides the life cycle of VMs; see Offers.
var (
	_ hypervisor.Backend = (*Backend)(nil)

	_ backends.Autostarter  = (*Backend)(nil)
	_ backends.ImageSwapper = (*Backend)(nil)
	_ backends.Migrator     = (*Backend)(nil)
	_ backends.PCIHost      = (*Backend)(nil)
	_ backends.Renamer      = (*Backend)(nil)
)

// Offers says what the libvirtd of this URI can do.
func (b *Backend) Offers(optional any) bool {
	switch optional.(type) {
	case *backends.BridgeHost, *backends.PCIHost:
		return !b.target.Session // QEMU of a session has no rights to devices of the host
	case *backends.HostFirewall, *backends.LiveFirewall:
		return b.filter != nil
	case *backends.Migrator:
		return b.canMigrate()
	case *backends.Autostarter:
		return b.target.autostarts()
	case *backends.ImageHost:
		_, pool := b.storage.(*poolStorage)
		return pool
	case *backends.FileHost, *backends.Renamer: // volumes cannot be renamed
		_, files := b.storage.(*localStorage)
		return files
	}
	return true
}

// SnapshotsLive holds: QEMU's monitor takes them while it runs.
func (b *Backend) SnapshotsLive() bool { return true }

// ClonesSnapshots holds.
func (b *Backend) ClonesSnapshots() bool { return true }

// Isolates holds where libvirt filters the network of VMs, on bridges too.
func (b *Backend) Isolates(string) bool { return b.filter != nil }

// DefaultNetwork is that of a host's libvirtd; sessions have QEMU's own.
func (b *Backend) DefaultNetwork() backends.Network {
	if b.target.Session {
		return backends.UserNetwork
	}
	return b.config.DefaultNetwork.Or(backends.NATNetwork)
}
