package api

import "cmp"

// CreateParams requests a machine and its VM. Absent fields default to config.toml,
// or to the settings of a machine that is already declared.
type CreateParams struct {
	Work
	// Name of the new machine, a DNS label of at most 63 characters.
	Name string `json:"name"`
	// Profiles of the image.
	Profiles []string `json:"profiles,omitempty"`
	// Image is "nixos", "trial", the absolute path of an image file, or the URL of
	// a disk (http, https, file) with its checksum: URL#sha256=HEX.
	Image string `json:"image,omitempty"`
	// Mode is "immutable", "semi-mutable" or "mutable".
	Mode string `json:"mode,omitempty"`
	// MemoryMiB is the memory in MiB.
	MemoryMiB *int `json:"memoryMiB,omitempty"`
	// VCPUs is the number of virtual CPUs.
	VCPUs *int `json:"vcpus,omitempty"`
	// DiskBytes is the virtual size of the state disk in bytes.
	DiskBytes *int64 `json:"diskBytes,omitempty"`
	// Autostart: the VM is started when the host of its backend boots, if the backend
	// has the capability. Absent: the setting of the backend in config.toml.
	Autostart *bool `json:"autostart,omitempty"`
	// Network is "nat" or "bridge:<interface>".
	Network string `json:"network,omitempty"`
	// Backend is the name of a configured backend.
	Backend string `json:"backend,omitempty"`
	// AuthorizedKeys are SSH public keys for both accounts, in addition to nixvm's own.
	AuthorizedKeys []string `json:"authorizedKeys,omitempty"`
	// AllowedCIDRs are exceptions to the private-network block.
	AllowedCIDRs []string `json:"allowedCidrs,omitempty"`
	// TCPPorts to open in the guest's firewall.
	TCPPorts []uint16 `json:"tcpPorts,omitempty"`
	// PCIDevices of the host that the VM gets, if the backend has the capability: each an
	// address, as 0000:01:00.0, or 0000:01:00 for all functions of the device. They replace
	// those of a machine that is already declared.
	PCIDevices []string `json:"pciDevices,omitempty"`
	// RemoteForwards, each in the syntax of RemoteForward in ssh_config(5).
	RemoteForwards []string `json:"remoteForwards,omitempty"`
	// NoStart creates the VM without booting it.
	NoStart bool `json:"noStart,omitempty"`
	// Declare writes the machine directory without creating a VM; nixvm/vm/create or
	// nixvm/vm/start creates it later. A machine that is already declared is refused.
	Declare bool `json:"declare,omitempty"`
}

// Validate implements Params.
func (p CreateParams) Validate() error {
	return cmp.Or(firstOf(p.Fields()), p.Work.Validate())
}

// Fields checks the form of each.
func (p CreateParams) Fields() []FieldCheck {
	return []FieldCheck{
		{"name", checkName(p.Name)},
		{"profiles", checkProfiles(p.Profiles)},
		{"image", checkLine("image", p.Image)},
		{"mode", checkLine("mode", p.Mode)},
		{"memoryMiB", checkPositive("memoryMiB", p.MemoryMiB)},
		{"vcpus", checkPositive("vcpus", p.VCPUs)},
		{"diskBytes", checkPositive("diskBytes", p.DiskBytes)},
		{"network", checkLine("network", p.Network)},
		{"backend", checkLine("backend", p.Backend)},
		{"authorizedKeys", checkLines("authorizedKeys", p.AuthorizedKeys)},
		{"allowedCidrs", checkCIDRs("allowedCidrs", p.AllowedCIDRs)},
		{"tcpPorts", checkPorts("tcpPorts", p.TCPPorts)},
		{"pciDevices", checkPCI("pciDevices", p.PCIDevices)},
		{"remoteForwards", checkLines("remoteForwards", p.RemoteForwards)},
	}
}
