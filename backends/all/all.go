// Package all lists the types of backend that this program includes. Only the main
// program and tests of the whole import it.
package all

import (
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/libvirt"
	"github.com/nixvm/nixvm/backends/proxmox"
	"github.com/nixvm/nixvm/backends/qemu"
)

// Drivers returns them, first the type of the backend that there is where none is
// configured.
func Drivers() []backends.Driver {
	return []backends.Driver{qemu.Driver(), libvirt.Driver(), proxmox.Driver()}
}
