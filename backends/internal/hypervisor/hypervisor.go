// Package hypervisor says what every backend offers that runs QEMU with disks that
// nixvm makes, besides the life cycle of VMs. One that cannot do a part of it on some
// host hides that part there; see backends.Conditional.
package hypervisor

import "github.com/nixvm/nixvm/backends"

// Backend is what such a backend implements.
type Backend interface {
	backends.Backend

	backends.AddressChecker
	backends.BridgeHost
	backends.Cloner
	backends.Conditional
	backends.Console
	backends.CreateChecker
	backends.DefaultNetworker
	backends.DiskGrower
	backends.DiskMeter
	backends.FileHost
	backends.FileSystemGrower
	backends.HostFirewall
	backends.IdentityRenewer
	backends.Keeper
	backends.LiveFirewall
	backends.Shelver
	backends.Exporter
	backends.Importer
	backends.DiskRewriter
	backends.Snapshotter
	backends.SpaceHost
	backends.Suspender
}
