package libvirt

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/host"
)

// settings are those of a backend in config.toml; see Config.
type settings struct {
	URI     string `toml:"uri"`
	Network string `toml:"network"`
	Pool    string `toml:"pool"`
	Accel   string `toml:"accel"`

	DefaultNetwork backends.Network `toml:"default_network"`
	Autostart      bool             `toml:"autostart"`
	MigrateURI     string           `toml:"migrate_uri"`
	MigrateUnsafe  bool             `toml:"migrate_unsafe"`
}

// Driver is the type "libvirt".
func Driver() backends.Driver {
	return backends.NewDriver("libvirt", settings.check, func(s backends.Site, c settings) (backends.Backend, error) {
		return New(Config{
			Name: s.Name, Layout: s.Layout, URI: c.URI, Network: c.Network, Pool: c.Pool, Accel: c.Accel, DefaultNetwork: c.DefaultNetwork,
			Autostart: c.Autostart, MigrateURI: c.MigrateURI, MigrateUnsafe: c.MigrateUnsafe, Log: s.Log,
		})
	})
}

// check finds what is wrong without asking any libvirtd.
func (c settings) check() error {
	if err := checkURI(c.URI); err != nil {
		return err
	}
	if t, err := parseURI(c.URI); err == nil && t.Session && c.DefaultNetwork.Bridge() != "" {
		return errors.New("default_network is a bridge, which sessions cannot use: their libvirtd has no rights on the host")
	}
	if c.Autostart && !canAutostart(c.URI) {
		return errors.New("autostart is not for sessions: their libvirtd does not start with the host")
	}
	if u, err := url.Parse(c.MigrateURI); c.MigrateURI != "" && (err != nil || u.Scheme != "tcp" || u.Hostname() == "") {
		return fmt.Errorf("migrate_uri %q does not have the form tcp://ADDRESS", c.MigrateURI)
	}
	return cmp.Or(host.CheckAccel(c.Accel), c.DefaultNetwork.Check())
}

// Directory is where the files of a VM are; see backends.FileHost.
func (b *Backend) Directory(ref backends.Ref) string {
	dir := b.config.Layout.Libvirt(b.config.Name)
	if ref.Name == "" {
		return dir
	}
	return filepath.Join(dir, ref.Name)
}
