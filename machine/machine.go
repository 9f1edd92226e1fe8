// Package machine reads, validates and writes machine directories.
//
// A machine is a directory machines/<name>/ of small text files, one setting a
// file, named as nixos-vm-template names them, so that an existing machines/
// directory is adopted as it is and a person edits it with any editor. files.go
// names every file; docs/machine-directory.md explains them to users.
//
// A [Store] is one machines/ directory:
//
//	store, err := machine.OpenStore(layout.Machines())
//	m, err := store.Create(ctx, machine.Draft{Name: "demo", Profiles: []string{"claude"}})
//	list, broken := store.List()
//
// Create writes the whole directory, identity included, or nothing. Update
// replaces single files. What does not parse makes that one machine [Broken],
// with file, line and hint, and never hides the others. Files that we do not
// know are kept.
//
// The identity (machine-id, uuid, MAC address, SSH host key) is generated once
// and never again while its file is there. [Medium] turns it into the small ISO
// 9660 volume that carries it into the guest, and [Digest] tells whether a
// medium made earlier is still right.
//
// Everything here is text written by people or by other programs: each value is
// checked against a narrow grammar before it can reach a path, a command line,
// an XML document or the guest. One grammar serves all ways in: a [Draft] is
// printed to files and read back before anything is written.
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

// The kinds of image that are named by a word; any other is a file's path.
const (
	ImageNixOS = "nixos"
	ImageTrial = "trial"
	ImageTiny  = "tiny" // the trial guest under busybox init, for tests
)

// What a machine has when its directory does not say; nixos-vm-template's values.
const (
	DefaultMemoryMiB = 2048
	DefaultVCPUs     = 2
	DefaultDiskBytes = 30 << 30
	DefaultTCPPort   = 22 // the one that the guest's firewall opens
)

// Machine is a machine directory, read and valid. It holds no secret: the host
// key and the root password hash stay in their files.
type Machine struct {
	Name     string
	Dir      string
	Profiles []string // normalised: sorted, without duplicates, "core" and the mode words removed
	Mode     Mode
	Image    string // "nixos" (default), "trial", the absolute path of an image file, or an URL
	Backend  string // configured backend's name; empty = the default

	// Identity. A field is empty while its file is missing, which only an
	// adopted directory can show before Store.EnsureIdentity.
	Hostname      string
	MachineID     string // 32 hex digits, lower case
	UUID          string // canonical form, lower case
	MAC           string // aa:bb:cc:dd:ee:ff, lower case
	HostKeyPublic string // authorized_keys format, one line, without newline or comment

	MemoryMiB int
	VCPUs     int
	DiskBytes int64
	Autostart bool // start with the host of the backend

	Network        Network
	StaticIP       *StaticIP // nil = DHCP
	ResolvConf     string    // resolv.conf(5) without comments; empty = what DHCP says
	Hosts          string    // extra hosts(5) lines without comments
	CACert         string    // certificates in PEM and nothing else; empty = none
	AdminKeys      []string
	UserKeys       []string
	TCPPorts       []uint16
	UDPPorts       []uint16
	AllowedCIDRs   []netip.Prefix
	RemoteForwards []RemoteForward
	UnreadForwards []UnreadForward // lines of that file without effect

	RootPassword bool     // a root password hash is set
	PasswordSum  string   // SHA-256 of that hash, in hex; empty = none
	AgentTOML    string   // agent.toml as it stands; it parses as TOML
	VMID         int      // Proxmox VE; 0 = none
	PCIDevices   []string // Proxmox VE: one hostpci value each
}

// IdentityComplete reports whether every identity file is there, so that
// [Medium] can be built.
func (m Machine) IdentityComplete() bool {
	return m.Hostname != "" && m.MachineID != "" && m.UUID != "" && m.MAC != "" && m.HostKeyPublic != ""
}

// Network is the content of the network file. Without one it is zero: the machine is
// in the network that its backend has for such machines.
type Network struct {
	Kind   string // "nat" or "bridge"
	Bridge string // interface name, for "bridge"
}

// StaticIP is the content of the static_ip file.
type StaticIP struct {
	Address netip.Prefix
	Gateway netip.Addr // the zero Addr = none
}
