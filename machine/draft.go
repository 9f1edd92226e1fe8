package machine

import (
	"net/netip"
	"slices"

	"github.com/nixvm/nixvm/internal/names"
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

	Network        Network // zero = no file
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
	if err := names.NewMachine(d.Name); err != nil {
		return err
	}
	if wrong := d.Problems(); len(wrong) > 0 {
		return wrong[0].Err
	}
	return nil
}

// SettingProblem is what is wrong with one setting.
type SettingProblem struct {
	File string // that the setting would stand in
	Err  error  // as Draft.Check describes it
}

// Problems is Check for each setting by itself, in the order in which Check
// comes upon them: the first problem of each. The name is not among them.
func (d Draft) Problems() []SettingProblem {
	_, faults := d.content()
	return problemsOf(faults)
}

// problemsOf keeps the first fault of each file.
func problemsOf(faults []*Fault) []SettingProblem {
	var out []SettingProblem
	for _, f := range faults {
		if !slices.ContainsFunc(out, func(p SettingProblem) bool { return p.File == f.File }) {
			out = append(out, SettingProblem{f.File, f.invalid()})
		}
	}
	return out
}

// machine is the draft with its defaults, not validated.
func (d Draft) machine() Machine {
	m := Machine{
		Name: d.Name, Profiles: d.Profiles, Mode: d.Mode, Image: orDefault(d.Image, ImageNixOS), Backend: d.Backend,
		MemoryMiB: orDefault(d.MemoryMiB, DefaultMemoryMiB), VCPUs: orDefault(d.VCPUs, DefaultVCPUs),
		DiskBytes: orDefault(d.DiskBytes, DefaultDiskBytes), Autostart: d.Autostart,
		Network: d.Network, StaticIP: d.StaticIP, ResolvConf: d.ResolvConf, Hosts: d.Hosts,
		AdminKeys: d.AdminKeys, UserKeys: d.UserKeys, TCPPorts: d.TCPPorts, UDPPorts: d.UDPPorts,
		AllowedCIDRs: d.AllowedCIDRs, RemoteForwards: d.RemoteForwards,
		AgentTOML: d.AgentTOML, VMID: d.VMID, PCIDevices: d.PCIDevices,
	}
	if m.TCPPorts == nil {
		m.TCPPorts = []uint16{DefaultTCPPort}
	}
	return m
}

// content gives the files, identity excepted, after reading them back: what the
// directory's parsers refuse, a draft cannot hold. The faults name bare files.
func (d Draft) content() (content, []*Fault) {
	m := d.machine()
	faults := m.unprintable()
	c := m.print()
	c[RootPasswordFile] = []byte(oneLine(d.RootPasswordHash))
	back, more := c.parseAll(d.Name, func(file string) string { return file })
	faults = append(faults, more...)
	want := orDefault(d.Mode, Immutable)
	askedByWord := d.Mode == "" && back.Mode != Immutable // in the profile list
	if len(faults) == 0 && !askedByWord && back.Mode != want {
		faults = append(faults, &Fault{
			File: ProfileFile, Reason: "the profile list asks for " + string(back.Mode) + ", the mode for " + string(want),
			Hint: "remove the word from the profile list",
		})
	}
	return c, faults
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
