package checkout

import (
	"fmt"
	"strings"
)

// Config is what the settings mean as part of nixvm's config.toml; empty = nothing.
func (c *Checkout) Config() string {
	var b strings.Builder
	switch backend := c.Settings["BACKEND"]; {
	case backend == "libvirt" || backend == "" && c.Settings["LIBVIRT_URI"] != "":
		uri := c.Settings["LIBVIRT_URI"]
		if uri == "" {
			uri = "qemu:///system"
		}
		fmt.Fprintf(&b, "[backends.libvirt]\ntype = \"libvirt\"\nuri = %s\n", quoted(uri))
	case backend != "":
		fmt.Fprintf(&b, "# BACKEND=%s: these VMs are not on this computer.\n", backend)
		for _, key := range read {
			if value, ok := c.Settings[key]; ok && strings.HasPrefix(key, "PVE_") {
				fmt.Fprintf(&b, "# %s = %s\n", strings.ToLower(key), quoted(value))
			}
		}
	}
	return b.String()
}

// quoted is a TOML string; control characters have been refused.
func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
