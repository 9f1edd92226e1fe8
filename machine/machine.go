// Package machine reads, validates and writes machine directories.
package machine

import "net/netip"

// Mode says how much of a VM's file system the guest may change.
type Mode string

// The three modes; the wire and the command line use these words.
const (
	Immutable   Mode = "immutable"    // read-only root, all state on /var
	SemiMutable Mode = "semi-mutable" // the same, plus a writable /nix overlay kept on /var
	Mutable     Mode = "mutable"      // one read-write disk
)

// Machine is a machine directory, read and valid.
type Machine struct {
	Name     string
	Dir      string
	Profiles []string // normalised: sorted, without duplicates, "core" and the mode words removed
	Mode     Mode
	Image    string // "nixos" (default), "trial", or the absolute path of an image file
	Backend  string // configured backend's name; empty = the default

	Hostname      string
	MachineID     string // 32 hex digits
	UUID          string
	MAC           string
	HostKeyPublic string // authorized_keys format, one line, without newline

	MemoryMiB int
	VCPUs     int
	DiskBytes int64

	Network        Network
	StaticIP       *StaticIP // nil = DHCP
	AdminKeys      []string
	UserKeys       []string
	TCPPorts       []uint16
	UDPPorts       []uint16
	AllowedCIDRs   []netip.Prefix
	RemoteForwards []RemoteForward
}

// Network is the content of the network file.
type Network struct {
	Kind   string // "nat" or "bridge"
	Bridge string // interface name, for "bridge"
}

// StaticIP is the content of the static_ip file.
type StaticIP struct {
	Address netip.Prefix
	Gateway netip.Addr
}

// RemoteForward is one line of remote_forwards, as after RemoteForward in ssh_config(5).
type RemoteForward struct {
	Listen string // in the guest: "[bind:]port" or an absolute socket path
	Target string // on the host: "host:port" or an absolute socket path
	Daemon bool   // held by the daemon's own connection (always so for unix sockets)
}
