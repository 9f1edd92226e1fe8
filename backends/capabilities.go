package backends

import "github.com/nixvm/nixvm/api"

// Capabilities say what a backend can do, so that nothing is offered that cannot work.
type Capabilities = api.BackendCapabilities

// CapabilitiesOf derives them from the optional interfaces that the backend has now.
// The boot disk as an overlay, and disks that grow, are in the contract of every
// [Backend].
func CapabilitiesOf(b Backend) Capabilities {
	c := Capabilities{ThinClone: true, Resize: true}
	if s, ok := As[Snapshotter](b); ok {
		c.LiveSnapshot = s.SnapshotsLive()
	}
	if cl, ok := As[Cloner](b); ok {
		c.Clone, c.CloneSnapshot = true, cl.ClonesSnapshots()
	}
	if f, ok := As[HostFirewall](b); ok {
		c.HostFirewall = f.Isolates("")
	}
	c.DefaultNetwork = string(DefaultNetworkOf(b))
	_, c.Bridge = As[BridgeHost](b)
	_, c.Console = As[Console](b)
	_, c.Suspend = As[Suspender](b)
	_, c.Migrate = As[Migrator](b)
	_, c.Autostart = As[Autostarter](b)
	_, c.LiveResize = As[DiskGrower](b)
	_, c.Upgrade = As[ImageSwapper](b)
	_, c.Rename = As[Renamer](b)
	_, c.Recreate = As[Shelver](b)
	_, c.Export = As[Exporter](b)
	_, c.Import = As[Importer](b)
	if _, p := PCIHostOf(b); p == nil {
		c.PCIDevices = true
	}
	_, c.RewriteDisk = As[DiskRewriter](b)
	_, c.Nodes = As[NodeMigrator](b)
	return c
}
