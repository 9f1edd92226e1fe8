package api

import (
	"cmp"
	"time"

	"github.com/nixvm/nixvm/internal/problem"
)

// Machine is one machine and its VM.
type Machine struct {
	// Name of the machine, a DNS label.
	Name string `json:"name"`
	// State of the VM: "absent" (declared only), "stopped", "running",
	// "suspended", "crashed", "broken" or "unknown" (the backend cannot be reached).
	State State `json:"state"`
	// Phase is the state for display: "absent", "stopped", "booting" (it is running, and
	// its sshd has not answered yet), "ready" (its sshd has answered),
	// "suspended", "crashed", "broken" or "unknown".
	Phase string `json:"phase"`
	// Actions are the keys of the verbs that are possible on the machine now, given its
	// state, the capabilities of its backend, and the operation that is running on it.
	// The verbs are among the capabilities of the daemon.
	Actions []string `json:"actions"`
	// Ready: sshd has answered with the pinned host key since the last start.
	Ready bool `json:"ready"`
	// Reason why it is crashed, broken, or paused by its host, one line.
	Reason string `json:"reason,omitempty"`
	// Mode is "immutable", "semi-mutable" or "mutable".
	Mode string `json:"mode"`
	// VMMode is the mode of the VM where that is another one: Mode is pending then.
	VMMode string `json:"vmMode,omitempty"`
	// Profiles of the machine, sorted.
	Profiles []string `json:"profiles"`
	// Backend is the name of the configured backend.
	Backend string `json:"backend"`
	// VMID is the number of the VM on a backend that numbers its VMs.
	VMID int `json:"vmid,omitempty"`
	// Node of the backend on which the VM is, if the backend has nodes.
	Node string `json:"node,omitempty"`
	// Image of the machine.
	Image ImageRef `json:"image"`
	// MemoryMiB is the memory in MiB.
	MemoryMiB int `json:"memoryMiB"`
	// VCPUs is the number of virtual CPUs.
	VCPUs int `json:"vcpus"`
	// DiskBytes is the virtual size of the state disk in bytes.
	DiskBytes int64 `json:"diskBytes"`
	// Autostart: the VM is started when the host of its backend boots.
	Autostart bool `json:"autostart,omitempty"`
	// Network is "nat" or "bridge:<interface>".
	Network string `json:"network"`
	// Accel is "kvm" or "tcg" while the VM runs.
	Accel string `json:"accel,omitempty"`
	// Address is host:port of sshd while the VM runs.
	Address string `json:"address,omitempty"`
	// SSHHost is the name for ssh, TRAMP and Remote-SSH, once created.
	SSHHost string `json:"sshHost,omitempty"`
	// AdminHost is the same for the admin account.
	AdminHost string `json:"adminHost,omitempty"`
	// PCIDevices of the host that the machine is declared with.
	PCIDevices []string `json:"pciDevices,omitempty"`
	// Generation of its images that the VM boots from; see nixvm/generation/list.
	Generation int `json:"generation,omitempty"`
	// Outdated: the current image for the machine's profiles, mode and kind of image is
	// another one; nixvm/vm/upgrade applies it. Absent if unknown.
	Outdated bool `json:"outdated,omitempty"`
	// Started is when the VM was started.
	Started time.Time `json:"started,omitzero"`
	// Operation is the id of the operation that is running on the machine; its
	// state is among the operations of the same message, or of nixvm/operation/get.
	Operation string `json:"operation,omitempty"`
	// RemovesDirectory: destroy removes the machine directory too, because create made
	// it; keepMachine prevents that.
	RemovesDirectory bool `json:"removesDirectory,omitempty"`
	// Pending are settings that the VM does not have, by their names in
	// nixvm/machine/configure, and that a start does not apply: "profiles" are part of the
	// image, and nixvm/vm/upgrade applies them. Of a mutable machine, also the settings
	// that its guest took once, at its first boot, and "vmid", the number that the file
	// vmid requests: nixvm/vm/recreate applies them.
	Pending []string `json:"pending,omitempty"`
	// NextStart are settings of the machine that take effect at the next start of its
	// running VM, by their names in nixvm/machine/configure, or similar ones: "tcpPorts",
	// "udpPorts", "allowedCidrs", "authorizedKeys", "hosts", "resolvConf", "rootPassword",
	// "staticIp", "caCert", "hostname", "machineId", "hostKey", "memoryMiB", "vcpus",
	// "diskBytes", "network", "pciDevices". Also absent if unknown,
	// for a VM that was started by an earlier version.
	NextStart []string `json:"nextStart,omitempty"`
	// Problem with the machine directory, or with its SSH name.
	Problem *problem.Error `json:"problem,omitempty"`
	// Unresolved are the ids of its operations that need a decision, oldest first;
	// their choices are among the operations of the same message.
	Unresolved []string `json:"unresolved,omitempty"`
	// Snapshots is the number of snapshots of the VM; absent until the daemon has listed
	// them since its start. See nixvm/snapshot/list.
	Snapshots *SnapshotUsage `json:"snapshots,omitempty"`
	// Disk is what the state disk took when it was measured last: in the background, about
	// every minute while machines are listed, or by nixvm/vm/disk. Absent until then.
	Disk *DiskUsage `json:"disk,omitempty"`
}

// SnapshotUsage is the number of snapshots of a VM.
type SnapshotUsage struct {
	// Count of snapshots.
	Count int `json:"count"`
	// Warning if there are so many that taking and deleting them stalls the guest;
	// one line.
	Warning string `json:"warning,omitempty"`
}

// ImageRef names the image of a machine.
type ImageRef struct {
	// Kind that was requested: "nixos", "trial", or a file.
	Kind string `json:"kind"`
	// ID of the image; absent until one has been chosen.
	ID string `json:"id,omitempty"`
	// Distro is "nixos" or "debian".
	Distro string `json:"distro,omitempty"`
	// Version of the image.
	Version string `json:"version,omitempty"`
}

// MachineParams names a machine.
type MachineParams struct {
	Tokens
	// Name of the machine.
	Name string `json:"name"`
}

// Validate implements Params.
func (p MachineParams) Validate() error { return checkName(p.Name) }

// MachineListResult is every machine.
type MachineListResult struct {
	// Machines ordered by name.
	Machines []Machine `json:"machines"`
	// Operations that are running or unresolved.
	Operations []Operation `json:"operations"`
}

// MachineResult is one machine.
type MachineResult struct {
	// Machine as it is now.
	Machine Machine `json:"machine"`
}

// DeleteMachineParams removes the declaration of a machine.
type DeleteMachineParams struct {
	Tokens
	// Name of the machine.
	Name string `json:"name"`
	// Confirm repeats the name.
	Confirm string `json:"confirm"`
}

// Validate implements Params.
func (p DeleteMachineParams) Validate() error {
	return cmp.Or(checkName(p.Name), checkConfirm(p.Name, p.Confirm))
}
