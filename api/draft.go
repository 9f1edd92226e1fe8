package api

import "github.com/nixvm/nixvm/internal/problem"

// DraftParams is a request before it is sent, as far as it has been typed.
// Absent and empty fields count as unset.
type DraftParams struct {
	Tokens
	// For is the kind of request: "create" (also when absent), "clone",
	// "configure", "image" (nixvm/image/build), "snapshot" or "forward" (nixvm/forward/add).
	For string `json:"for,omitempty"`
	// Suggest a name for a new machine, derived from this text, such as the name of a
	// project or of the machine to clone.
	Suggest string `json:"suggest,omitempty"`
	// Name of the machine.
	Name string `json:"name,omitempty"`
	// NewName of the copy.
	NewName string `json:"newName,omitempty"`
	// Profiles of the image.
	Profiles []string `json:"profiles,omitempty"`
	// Image is its kind, a file, or a URL with its checksum.
	Image string `json:"image,omitempty"`
	// Mode is "immutable", "semi-mutable" or "mutable".
	Mode string `json:"mode,omitempty"`
	// MemoryMiB as typed: "4G", "512M", or a bare number of MiB.
	MemoryMiB string `json:"memoryMiB,omitempty"`
	// VCPUs as typed.
	VCPUs string `json:"vcpus,omitempty"`
	// DiskBytes as typed: "20G"; a bare number means GiB.
	DiskBytes string `json:"diskBytes,omitempty"`
	// Autostart with the host of the backend.
	Autostart *bool `json:"autostart,omitempty"`
	// Network is "nat" or "bridge:<interface>".
	Network string `json:"network,omitempty"`
	// Backend is the name of a configured backend.
	Backend string `json:"backend,omitempty"`
	// AuthorizedKeys are SSH public keys.
	AuthorizedKeys []string `json:"authorizedKeys,omitempty"`
	// AllowedCIDRs are exceptions to the private-network block.
	AllowedCIDRs []string `json:"allowedCidrs,omitempty"`
	// TCPPorts as typed.
	TCPPorts []string `json:"tcpPorts,omitempty"`
	// UDPPorts as typed.
	UDPPorts []string `json:"udpPorts,omitempty"`
	// PCIDevices of the host, each by its address.
	PCIDevices []string `json:"pciDevices,omitempty"`
	// RemoteForwards, each in the syntax of RemoteForward in ssh_config(5).
	RemoteForwards []string `json:"remoteForwards,omitempty"`
	// StaticIP of the guest, as 192.168.1.10/24, or "dhcp".
	StaticIP string `json:"staticIp,omitempty"`
	// Gateway of the static address, or "none".
	Gateway string `json:"gateway,omitempty"`
	// Nameservers of the guest, by address.
	Nameservers []string `json:"nameservers,omitempty"`
	// Hosts are lines of the guest's hosts file.
	Hosts []string `json:"hosts,omitempty"`
	// AddKeys are SSH public keys to authorize.
	AddKeys []string `json:"addKeys,omitempty"`
	// RemoveKeys are keys, fingerprints or comments of keys to remove.
	RemoveKeys []string `json:"removeKeys,omitempty"`
	// RootPasswordHash is a crypt(5) hash; "*" checks whether a password can be set.
	RootPasswordHash string `json:"rootPasswordHash,omitempty"`
	// Snapshot to clone, or the name of a new one.
	Snapshot string `json:"snapshot,omitempty"`
	// Forward in the syntax of RemoteForward in ssh_config(5).
	Forward string `json:"forward,omitempty"`
}

// DraftFields are the fields of a kind of request that can be checked; nil if there
// is no such kind.
func DraftFields(request string) []string {
	switch request {
	case "create":
		return []string{
			"name", "profiles", "image", "mode", "memoryMiB", "vcpus", "diskBytes", "autostart", "network", "backend",
			"authorizedKeys", "allowedCidrs", "tcpPorts", "pciDevices", "remoteForwards",
		}
	case "clone":
		return []string{"name", "newName", "snapshot", "memoryMiB", "vcpus", "diskBytes", "network", "profiles", "mode"}
	case "configure":
		return []string{
			"name", "profiles", "mode", "memoryMiB", "vcpus", "diskBytes", "autostart", "network", "tcpPorts", "udpPorts", "allowedCidrs",
			"pciDevices", "remoteForwards", "staticIp", "gateway", "nameservers", "hosts", "addKeys", "removeKeys", "rootPasswordHash",
		}
	case "image":
		return []string{"image", "profiles", "mode"}
	case "snapshot":
		return []string{"name", "snapshot"}
	case "forward":
		return []string{"name", "forward"}
	}
	return nil
}

// Request is the kind of request; create if the draft has none.
func (p DraftParams) Request() string {
	if p.For == "" {
		return "create"
	}
	return p.For
}

// Validate implements Params. Problems of the draft itself are part of the answer.
func (p DraftParams) Validate() error {
	if DraftFields(p.Request()) == nil {
		return problem.BadField("for", "%.40q is not a kind of request that can be checked", p.For).
			WithHint("use create, clone, configure, image, snapshot or forward")
	}
	return nil
}

// DraftField is the result of checking one field.
type DraftField struct {
	// OK: the request would not be refused because of this field.
	OK bool `json:"ok"`
	// Value that would be used, in a form that can be typed again. Absent for lists.
	Value string `json:"value,omitempty"`
	// Values of a list.
	Values []string `json:"values,omitempty"`
	// Number is a size or count in the unit of the request's parameter.
	Number int64 `json:"number,omitempty"`
	// Default: the field is unset. The value is that of the machine's directory, of the
	// source of a clone, or of config.toml.
	Default bool `json:"default,omitempty"`
	// Choices are the possible values of the field (image, mode, backend, snapshot), or of
	// the elements of its list (profiles, removeKeys), given the rest of the draft.
	Choices []string `json:"choices,omitempty"`
	// Note is additional information about the value.
	Note string `json:"note,omitempty"`
	// Problem with which the request would be refused.
	Problem *problem.Error `json:"problem,omitempty"`
}

// DraftResult is the result of checking a draft.
type DraftResult struct {
	// OK: no problem was found.
	OK bool `json:"ok"`
	// Fields by name, including unset ones.
	Fields map[string]DraftField `json:"fields"`
	// Suggestion is a valid, unused machine name, if one was requested.
	Suggestion string `json:"suggestion,omitempty"`
	// Problem that does not concern a single field.
	Problem *problem.Error `json:"problem,omitempty"`
}
