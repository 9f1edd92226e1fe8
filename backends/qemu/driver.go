package qemu

import (
	"cmp"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/host"
)

// settings are those of a backend in config.toml.
type settings struct {
	Accel          string           `toml:"accel"` // see Config
	DefaultNetwork backends.Network `toml:"default_network"`
}

// Driver is the type "qemu".
func Driver() backends.Driver {
	return backends.NewDriver("qemu",
		func(c settings) error { return cmp.Or(host.CheckAccel(c.Accel), c.DefaultNetwork.Check()) },
		func(s backends.Site, c settings) (backends.Backend, error) {
			return New(Config{Name: s.Name, Layout: s.Layout, Accel: c.Accel, DefaultNetwork: c.DefaultNetwork, Log: s.Log})
		})
}

// Directory is where the files of a VM are; see backends.FileHost.
func (b *Backend) Directory(ref backends.Ref) string {
	if ref.Name == "" {
		return b.layout.VMs()
	}
	return b.layout.VM(ref.Name)
}
