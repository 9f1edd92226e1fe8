package api

// ConfigureParams changes a declared machine. Absent fields keep their values; a
// list replaces the previous list. Settings that cannot be applied to a running VM take
// effect at its next start: nextStart of the machine lists them.
type ConfigureParams struct {
	Tokens
	// Name of the machine.
	Name string `json:"name"`
	// Profiles of the machine. For an existing VM they are pending until nixvm/vm/upgrade.
	Profiles []string `json:"profiles,omitzero"`
	// Mode is "immutable", "semi-mutable" or "mutable". For an existing VM it stays pending
	// until nixvm/vm/upgrade, or, from or to mutable, nixvm/vm/recreate.
	Mode *string `json:"mode,omitempty"`
	// MemoryMiB is the memory in MiB.
	MemoryMiB *int `json:"memoryMiB,omitempty"`
	// VCPUs is the number of virtual CPUs.
	VCPUs *int `json:"vcpus,omitempty"`
	// DiskBytes is the virtual size of the state disk in bytes; once the VM exists, it cannot shrink.
	// The disk of a running VM grows at once if the backend has the capability liveResize.
	DiskBytes *int64 `json:"diskBytes,omitempty"`
	// Autostart: the VM is started when the host of its backend boots, if the backend
	// has the capability; applies at once, whether or not the VM is running.
	Autostart *bool `json:"autostart,omitempty"`
	// Network is "nat" or "bridge:<interface>".
	Network *string `json:"network,omitempty"`
	// TCPPorts to open in the guest's firewall.
	TCPPorts []uint16 `json:"tcpPorts,omitzero"`
	// UDPPorts to open in the guest's firewall.
	UDPPorts []uint16 `json:"udpPorts,omitzero"`
	// AllowedCIDRs are exceptions to the private-network block.
	AllowedCIDRs []string `json:"allowedCidrs,omitzero"`
	// PCIDevices of the host that the VM gets, from its next start on: each an address, as
	// 0000:01:00.0, or 0000:01:00 for all functions of the device.
	PCIDevices []string `json:"pciDevices,omitzero"`
	// RemoteForwards, each in the syntax of RemoteForward in ssh_config(5).
	RemoteForwards []string `json:"remoteForwards,omitzero"`
	// StaticIP is the guest's address with the length of its network, as
	// 192.168.1.10/24; "dhcp" or empty goes back to DHCP, and removes the gateway.
	StaticIP *string `json:"staticIp,omitempty"`
	// Gateway of the static address, within its network; empty removes it.
	Gateway *string `json:"gateway,omitempty"`
	// Nameservers of the guest, by address; an empty list goes back to those of DHCP.
	Nameservers []string `json:"nameservers,omitzero"`
	// Hosts are lines of the guest's hosts file: an address and names.
	Hosts []string `json:"hosts,omitzero"`
	// AddKeys are SSH public keys to authorize for both accounts.
	AddKeys []string `json:"addKeys,omitzero"`
	// RemoveKeys are keys to remove from both accounts: each the key itself, its
	// fingerprint (SHA256:...) or its comment.
	RemoveKeys []string `json:"removeKeys,omitzero"`
	// RootPasswordHash is the crypt(5) hash of a password with which root can log in on
	// the serial console; an empty one removes the password. The password itself is not
	// sent: `nixvmd passwd NAME --stdin` hashes it. A mutable machine that has a VM
	// refuses it.
	RootPasswordHash *string `json:"rootPasswordHash,omitempty"`
}

// Validate implements Params.
func (p ConfigureParams) Validate() error {
	return firstOf(p.Fields())
}

// Fields checks the form of each.
func (p ConfigureParams) Fields() []FieldCheck {
	return []FieldCheck{
		{"name", checkName(p.Name)},
		{"profiles", checkProfiles(p.Profiles)},
		{"mode", checkOptionalLine("mode", p.Mode)},
		{"memoryMiB", checkPositive("memoryMiB", p.MemoryMiB)},
		{"vcpus", checkPositive("vcpus", p.VCPUs)},
		{"diskBytes", checkPositive("diskBytes", p.DiskBytes)},
		{"network", checkOptionalLine("network", p.Network)},
		{"tcpPorts", checkPorts("tcpPorts", p.TCPPorts)},
		{"udpPorts", checkPorts("udpPorts", p.UDPPorts)},
		{"allowedCidrs", checkCIDRs("allowedCidrs", p.AllowedCIDRs)},
		{"pciDevices", checkPCI("pciDevices", p.PCIDevices)},
		{"remoteForwards", checkLines("remoteForwards", p.RemoteForwards)},
		{"staticIp", checkLineOf("staticIp", p.StaticIP)},
		{"gateway", checkLineOf("gateway", p.Gateway)},
		{"nameservers", checkLines("nameservers", p.Nameservers)},
		{"hosts", checkLines("hosts", p.Hosts)},
		{"addKeys", checkLines("addKeys", p.AddKeys)},
		{"removeKeys", checkLines("removeKeys", p.RemoveKeys)},
		{"rootPasswordHash", checkHash("rootPasswordHash", p.RootPasswordHash)},
	}
}
