package machine

// The files of a machine directory. All are text; in all but agent.toml blank
// lines and lines that start with # mean nothing.
const (
	// ProfileFile lists profiles, separated by commas. The words mutable and
	// semi-mutable in it set the mode, as newer nixos-vm-template writes it.
	ProfileFile = "profile"
	// MutableFile sets the mode: true, semi, or false; absent = immutable.
	MutableFile = "mutable"
	// ImageFile (ours) is nixos, trial, the absolute path of an image or an URL; absent = nixos.
	ImageFile = "image"
	// BackendFile (ours) names the configured backend; absent = the default one.
	BackendFile = "backend"

	// HostnameFile is the guest's host name, at first the machine's name.
	HostnameFile = "hostname"
	// MachineIDFile is the guest's machine-id(5): 32 hex digits. Generated once.
	MachineIDFile = "machine-id"
	// UUIDFile is the VM's UUID: SMBIOS, and the libvirt domain's. Generated once.
	UUIDFile = "uuid"
	// MACFile is the network card's address. Generated once.
	MACFile = "mac-address"
	// HostKeyFile is the guest's sshd key, OpenSSH format, 0600. Generated once.
	HostKeyFile = "ssh_host_ed25519_key"
	// HostKeyPubFile is the public half, for people: it is never read, and is
	// written again when it is missing or does not belong to HostKeyFile.
	HostKeyPubFile = "ssh_host_ed25519_key.pub"

	// AdminKeysFile holds the SSH public keys of the account admin (sudo).
	AdminKeysFile = "admin_authorized_keys"
	// UserKeysFile holds the SSH public keys of the account user (no sudo).
	UserKeysFile = "user_authorized_keys"

	// MemoryFile is the memory in MiB; absent = 2048.
	MemoryFile = "memory"
	// VCPUsFile is the number of virtual CPUs; absent = 2.
	VCPUsFile = "vcpus"
	// DiskSizeFile is the size of the state disk (/var), or of the only disk of
	// a mutable machine: 30G; absent = var_size, else 30G.
	DiskSizeFile = "disk_size"
	// VarSizeFile is what older nixos-vm-template calls DiskSizeFile. Read only.
	VarSizeFile = "var_size"

	// AutostartFile (ours) is true when the VM starts with the host of its
	// backend, or false; absent = false.
	AutostartFile = "autostart"

	// NetworkFile is nat or bridge:<interface>; absent = the network of the backend.
	NetworkFile = "network"
	// StaticIPFile holds address=<ip>/<len> and gateway=<ip>; absent = DHCP.
	StaticIPFile = "static_ip"
	// ResolvConfFile is resolv.conf(5) for the guest; absent = what DHCP says.
	ResolvConfFile = "resolv.conf"
	// HostsFile holds extra hosts(5) lines for the guest.
	HostsFile = "hosts"
	// CACertFile holds certificates (PEM) of authorities that the guest trusts
	// beside the usual ones. Read only.
	CACertFile = "ca-cert.pem"
	// TCPPortsFile lists the TCP ports that the guest's firewall opens, one a line.
	TCPPortsFile = "tcp_ports"
	// UDPPortsFile is the same for UDP.
	UDPPortsFile = "udp_ports"
	// AllowedCIDRsFile lists the exceptions to the private-network block.
	AllowedCIDRsFile = "allowed_cidrs"
	// RootPasswordFile is a crypt(5) hash, 0600; empty = no password login.
	RootPasswordFile = "root_password_hash"

	// VMIDFile is the number of the VM on Proxmox VE.
	VMIDFile = "vmid"
	// PCIDevicesFile lists PCI devices to pass through on Proxmox VE.
	PCIDevicesFile = "pci_devices"

	// RemoteForwardsFile (ours) lists forwards from the guest to the host.
	RemoteForwardsFile = "remote_forwards"
	// AgentFile (ours) is the set-up of the code agent, TOML.
	AgentFile = "agent.toml"
)

// Hidden entries of the machines directory that are ours: a machine being
// created and one being deleted. OpenStore removes what a crash left of them.
const (
	newPrefix   = ".nixvm-new-"
	trashPrefix = ".nixvm-trash-"
)

// maxFileBytes bounds what is read of one file. The largest sensible one, a
// long authorized_keys, has a few KiB.
const maxFileBytes = 64 << 10

// isSecret tells which files must not be open to others, nor be links that
// leave the machine directory: their content goes into a guest that is not
// trusted, so a link to ~/.ssh/id_ed25519 would hand it the user's own key.
// The other files that reach the guest hold nothing that a parser has not
// taken apart first, so links to shared settings (a home-manager store path,
// ~/.ssh/authorized_keys) are fine there.
func isSecret(file string) bool { return file == HostKeyFile || file == RootPasswordFile }
