package machine

import (
	"net/netip"

	"github.com/nixvm/nixvm/internal/problem"
)

// Draft is a machine that does not exist yet. Only Name is needed: a zero field
// means its default, which Create writes down where nixos-vm-template does.
type Draft struct {
	Name     string
	Profiles []string // "core" is always in; the words mutable and semi-mutable set Mode
	Mode     Mode     // "" = immutable
	Image    string   // "" = nixos
	Backend  string   // "" = the default

	MemoryMiB int   // 0 = 2048
	VCPUs     int   // 0 = 2
	DiskBytes int64 // 0 = 30 GiB
	Autostart bool

	Network        Network // zero = nat
	StaticIP       *StaticIP
	ResolvConf     string
	Hosts          string
	AdminKeys      []string
	UserKeys       []string
	TCPPorts       []uint16 // nil = 22 only
	UDPPorts       []uint16
	AllowedCIDRs   []netip.Prefix
	RemoteForwards []RemoteForward

	RootPasswordHash string // crypt(5); "" = none
	AgentTOML        string
	VMID             int
	PCIDevices       []string
}

// Check returns nil when Create would accept the draft, without touching the
// disk, so it does not know which names, profiles and backends exist. The
// problems are machine.name_invalid, size.invalid, forward.conflict and, for all
// else, machine.invalid; the message begins with the file that the value would
// stand in.
func (d Draft) Check() error {
	if err := ValidName(d.Name); err != nil {
		return err
	}
	_, err := d.content()
	return asProblem(err, (*Fault).invalid)
}

// machine is the draft with its defaults, not validated.
func (d Draft) machine() Machine {
	m := Machine{
		Name: d.Name, Profiles: d.Profiles, Mode: d.Mode, Image: orDefault(d.Image, ImageNixOS), Backend: d.Backend,
		MemoryMiB: orDefault(d.MemoryMiB, DefaultMemoryMiB), VCPUs: orDefault(d.VCPUs, DefaultVCPUs),
		DiskBytes: orDefault(d.DiskBytes, DefaultDiskBytes), Autostart: d.Autostart,
		Network: orDefault(d.Network, Network{Kind: "nat"}), StaticIP: d.StaticIP, ResolvConf: d.ResolvConf, Hosts: d.Hosts,
		AdminKeys: d.AdminKeys, UserKeys: d.UserKeys, TCPPorts: d.TCPPorts, UDPPorts: d.UDPPorts,
		AllowedCIDRs: d.AllowedCIDRs, RemoteForwards: d.RemoteForwards,
		AgentTOML: d.AgentTOML, VMID: d.VMID, PCIDevices: d.PCIDevices,
	}
	if m.TCPPorts == nil {
		m.TCPPorts = []uint16{22}
	}
	return m
}

// content gives the files, identity excepted, after reading them back: what the
// directory's parsers refuse, a draft cannot hold.
func (d Draft) content() (content, error) {
	m := d.machine()
	if err := m.printable(); err != nil {
		return nil, err
	}
	c := m.print()
	c[RootPasswordFile] = []byte(oneLine(d.RootPasswordHash))
	back, err := c.parse(d.Name, func(file string) string { return file })
	if err != nil {
		return nil, err
	}
	if d.Mode == "" && back.Mode != Immutable {
		return c, nil // asked for by a word in the profile list
	}
	if want := orDefault(d.Mode, Immutable); back.Mode != want {
		return nil, &Fault{
			File: ProfileFile, Reason: "the profile list asks for " + string(back.Mode) + ", the mode for " + string(want),
			Hint: "leave the word out of the profile list",
		}
	}
	return c, nil
}

func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// exists is the problem of a name that is taken.
func exists(name string) error {
	return problem.New(problem.MachineExists, "there is already a machine %s", name).
		WithHint("choose another name, or purge it first with `nixvmd purge %s`", name)
}
