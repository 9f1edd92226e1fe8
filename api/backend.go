package api

import (
	"cmp"

	"github.com/nixvm/nixvm/internal/problem"
)

// Backend is one configured backend.
type Backend struct {
	// Name as configured, e.g. "laptop".
	Name string `json:"name"`
	// Type is "qemu", "libvirt" or "proxmox".
	Type string `json:"type"`
	// Default: used by machines that name no backend.
	Default bool `json:"default"`
	// Capabilities say what it supports; clients offer nothing else.
	Capabilities BackendCapabilities `json:"capabilities"`
	// Actions are the keys of the verbs that it supports, in at least one state of a machine.
	Actions []string `json:"actions"`
	// MigratesTo are the names of the backends that its VMs can move to.
	MigratesTo []string `json:"migratesTo,omitempty"`
	// Problem says why it cannot be used.
	Problem *problem.Error `json:"problem,omitempty"`
}

// BackendCapabilities say what a backend can do.
type BackendCapabilities struct {
	// LiveSnapshot: snapshot while the VM runs.
	LiveSnapshot bool `json:"liveSnapshot"`
	// MemorySnapshot is false: snapshots do not include memory yet.
	MemorySnapshot bool `json:"memorySnapshot"`
	// ThinClone: the boot disk is an overlay on the shared image.
	ThinClone bool `json:"thinClone"`
	// DefaultNetwork of machines without the file network: user (QEMU's own, or that of a process
	// beside it), nat (a network of the host) or bridge:<interface>.
	DefaultNetwork string `json:"defaultNetwork,omitempty"`
	// Bridge: network "bridge:<interface>" works.
	Bridge bool `json:"bridge"`
	// Console: nixvm/vm/console works.
	Console bool `json:"console"`
	// Suspend: suspend and resume work.
	Suspend bool `json:"suspend"`
	// Resize: the state disk can grow.
	Resize bool `json:"resize"`
	// LiveResize: it can grow while the VM runs.
	LiveResize bool `json:"liveResize"`
	// Clone: a stopped VM can be cloned; with cloneSnapshot and liveSnapshot, a running one, too.
	Clone bool `json:"clone"`
	// CloneSnapshot: one of its snapshots can be cloned too.
	CloneSnapshot bool `json:"cloneSnapshot"`
	// HostFirewall: isolation is enforced outside the guest.
	HostFirewall bool `json:"hostFirewall"`
	// Migrate: VMs can move between hosts.
	Migrate bool `json:"migrate"`
	// Autostart: VMs can be started when the host boots.
	Autostart bool `json:"autostart"`
	// Upgrade: a VM that is not mutable can get another image.
	Upgrade bool `json:"upgrade"`
	// Rename: a stopped VM can get another name.
	Rename bool `json:"rename"`
	// Recreate: a VM can be set aside while another one is made in its place.
	Recreate bool `json:"recreate"`
	// Export: its VMs can be backed up and exported.
	Export bool `json:"export"`
	// Import: archives can become VMs of it.
	Import bool `json:"import"`
	// RewriteDisk: a backup can be restored to the VM that it is of, which keeps its
	// snapshots.
	RewriteDisk bool `json:"rewriteDisk"`
	// PCIDevices: PCI devices of the host can be passed through to VMs.
	PCIDevices bool `json:"pciDevices"`
	// Nodes: it consists of nodes, between which its VMs can move; see
	// nixvm/backend/nodes.
	Nodes bool `json:"nodes"`
}

// BackendListResult is the configured backends.
type BackendListResult struct {
	// Backends in the order of config.toml.
	Backends []Backend `json:"backends"`
}

// BackendParams names a backend.
type BackendParams struct {
	Tokens
	// Name as configured.
	Name string `json:"name"`
}

// Validate implements Params.
func (p BackendParams) Validate() error {
	return cmp.Or(checkRequired("name", p.Name), checkLine("name", p.Name))
}

// BackendCheckResult is what is missing for a backend to work.
type BackendCheckResult struct {
	// Findings, worst first; none = no problems.
	Findings []Finding `json:"findings"`
}
