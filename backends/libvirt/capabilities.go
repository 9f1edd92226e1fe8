package libvirt

import "github.com/nixvm/nixvm/backends"

// Capabilities says what is true of this backend.
func (b *Backend) Capabilities() backends.Capabilities {
	qemu := b.target.Driver == "qemu"
	return backends.Capabilities{
		LiveSnapshot: qemu,
		ThinClone:    true,
		Bridge:       !b.target.Session,
		Console:      qemu,
		Suspend:      true,
		Resize:       true,
		HostFirewall: b.filter != nil,
		Autostart:    b.config.Autostart,
	}
}
