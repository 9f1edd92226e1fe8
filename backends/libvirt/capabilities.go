package libvirt

import "github.com/nixvm/nixvm/backends"

// Capabilities says what is true of this backend.
func (b *Backend) Capabilities() backends.Capabilities {
	if b.target.Test {
		return testCapabilities()
	}
	return backends.Capabilities{
		LiveSnapshot: true,
		ThinClone:    true,
		Bridge:       !b.target.Session,
		Console:      true,
		Suspend:      true,
		Resize:       true,
		Clone:        true,
		HostFirewall: b.filter != nil,
		Migrate:      b.canMigrate(),
		Autostart:    b.target.autostarts(),
	}
}
