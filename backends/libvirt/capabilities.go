package libvirt

import "github.com/nixvm/nixvm/backends"

// Capabilities says what is true of this backend.
func (b *Backend) Capabilities() backends.Capabilities {
	if b.target.Test {
		return testCapabilities()
	}
	_, files := b.storage.(*localStorage)
	return backends.Capabilities{
		LiveSnapshot:  true,
		ThinClone:     true,
		Bridge:        !b.target.Session,
		Console:       true,
		Suspend:       true,
		Resize:        true,
		Clone:         true,
		CloneSnapshot: files,
		HostFirewall:  b.filter != nil,
		Migrate:       b.canMigrate(),
		Autostart:     b.target.autostarts(),
	}
}
