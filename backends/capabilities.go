package backends

// Capabilities say what a backend can do, so that nothing is offered that cannot work.
type Capabilities struct {
	LiveSnapshot   bool // snapshot while the VM runs
	MemorySnapshot bool
	ThinClone      bool // boot disk is an overlay on the shared image
	Bridge         bool
	Console        bool
	Suspend        bool
	Resize         bool
	Clone          bool // of a VM that is off
	CloneSnapshot  bool // also of one of its snapshots
	HostFirewall   bool // isolation enforced outside the guest
	Migrate        bool
	Autostart      bool // the host starts VMs when it boots
}

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
	_, c.Bridge = As[BridgeHost](b)
	_, c.Console = As[Console](b)
	_, c.Suspend = As[Suspender](b)
	_, c.Migrate = As[Migrator](b)
	_, c.Autostart = As[Autostarter](b)
	return c
}
