package machine

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/nixvm/nixvm/internal/problem"
)

// drafts generates valid ones.
func drafts() *rapid.Generator[Draft] {
	return rapid.Custom(func(t *rapid.T) Draft {
		ports := rapid.SliceOfN(rapid.Uint16Range(1, 65535), 0, 4)
		keys := rapid.SliceOfN(rapid.SampledFrom([]string{userKey, `restrict,from="10.0.0.0/8" ` + userKey}), 0, 2)
		d := Draft{
			Name:      rapid.StringMatching(`[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?`).Draw(t, "name"),
			Profiles:  rapid.SliceOf(rapid.SampledFrom([]string{"core", "dev", "claude", "open-code", "docker"})).Draw(t, "profiles"),
			Mode:      rapid.SampledFrom([]Mode{"", Immutable, SemiMutable, Mutable}).Draw(t, "mode"),
			Image:     rapid.SampledFrom([]string{"", ImageNixOS, ImageTrial, "/srv/a b#c.qcow2", "https://example.org/x.qcow2#sha256=00ff"}).Draw(t, "image"),
			Backend:   rapid.SampledFrom([]string{"", "lab", "pve_2"}).Draw(t, "backend"),
			MemoryMiB: rapid.SampledFrom([]int{0, MinMemoryMiB, 8192}).Draw(t, "memory"),
			VCPUs:     rapid.IntRange(0, MaxVCPUs).Draw(t, "vcpus"),
			DiskBytes: rapid.Int64Range(MinDiskBytes, MaxDiskBytes).Draw(t, "disk"),
			Autostart: rapid.Bool().Draw(t, "autostart"),
			Network:   rapid.SampledFrom([]Network{{}, {Kind: "nat"}, {Kind: "bridge", Bridge: "br0.100"}}).Draw(t, "network"),
			AdminKeys: keys.Draw(t, "admin keys"), UserKeys: keys.Draw(t, "user keys"),
			TCPPorts: ports.Draw(t, "tcp"), UDPPorts: ports.Draw(t, "udp"),
			RemoteForwards: rapid.SliceOfNDistinct(forwards(), 0, 3, func(f RemoteForward) string { return f.Listen }).Draw(t, "forwards"),
			ResolvConf:     rapid.SampledFrom([]string{"", "nameserver 1.1.1.1\nsearch lan\n"}).Draw(t, "resolv.conf"),
			Hosts:          rapid.SampledFrom([]string{"", "10.0.0.1 a b\n"}).Draw(t, "hosts"),
			AgentTOML:      rapid.SampledFrom([]string{"", "branch = 'dev'\n"}).Draw(t, "agent"),
			VMID:           rapid.SampledFrom([]int{0, 100, 999999999}).Draw(t, "vmid"),
		}
		if rapid.Bool().Draw(t, "static") {
			d.StaticIP = &StaticIP{Address: netip.MustParsePrefix("10.56.0.5/24"), Gateway: netip.MustParseAddr("10.56.0.1")}
		}
		if rapid.Bool().Draw(t, "cidrs") {
			d.AllowedCIDRs = []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24"), netip.MustParsePrefix("fd00::/64")}
		}
		return d
	})
}

func TestDraftsThatAreRefused(t *testing.T) {
	for what, c := range map[string]struct {
		draft Draft
		code  problem.Code
	}{
		"a name with a slash":        {Draft{Name: "a/b"}, problem.MachineNameInvalid},
		"no name":                    {Draft{}, problem.MachineNameInvalid},
		"too little memory":          {Draft{MemoryMiB: 64}, problem.MachineInvalid},
		"negative memory":            {Draft{MemoryMiB: -1}, problem.MachineInvalid},
		"negative CPUs":              {Draft{VCPUs: -1}, problem.MachineInvalid},
		"a negative disk":            {Draft{DiskBytes: -1}, problem.SizeInvalid},
		"a tiny disk":                {Draft{DiskBytes: 1}, problem.SizeInvalid},
		"a mode of another tool":     {Draft{Mode: "rw"}, problem.MachineInvalid},
		"a profile that is a path":   {Draft{Profiles: []string{"../x"}}, problem.MachineInvalid},
		"a profile like a comment":   {Draft{Profiles: []string{"#dev"}}, problem.MachineInvalid},
		"two profiles in one":        {Draft{Profiles: []string{"dev,docker"}}, problem.MachineInvalid},
		"modes that disagree":        {Draft{Profiles: []string{"mutable"}, Mode: SemiMutable}, problem.MachineInvalid},
		"a mode word and immutable":  {Draft{Profiles: []string{"mutable"}, Mode: Immutable}, problem.MachineInvalid},
		"a relative image":           {Draft{Image: "x.qcow2"}, problem.MachineInvalid},
		"an image of two lines":      {Draft{Image: "/a\n#b"}, problem.MachineInvalid},
		"a backend like a comment":   {Draft{Backend: "#lab"}, problem.MachineInvalid},
		"an unknown network":         {Draft{Network: Network{Kind: "macvtap"}}, problem.MachineInvalid},
		"a bridge with an option":    {Draft{Network: Network{Kind: "bridge", Bridge: "br0,up=no"}}, problem.MachineInvalid},
		"a bridge of two lines":      {Draft{Network: Network{Kind: "bridge", Bridge: "br0\n# x"}}, problem.MachineInvalid},
		"a bridge without name":      {Draft{Network: Network{Kind: "bridge"}}, problem.MachineInvalid},
		"a key that is none":         {Draft{UserKeys: []string{"ssh-rsa x"}}, problem.MachineInvalid},
		"an invalid static address":  {Draft{StaticIP: &StaticIP{}}, problem.MachineInvalid},
		"an invalid network":         {Draft{AllowedCIDRs: []netip.Prefix{{}}}, problem.MachineInvalid},
		"port 0":                     {Draft{TCPPorts: []uint16{0}}, problem.MachineInvalid},
		"a forward without a target": {Draft{RemoteForwards: []RemoteForward{{Listen: "80"}}}, problem.MachineInvalid},
		"a plain-text password":      {Draft{RootPasswordHash: "hunter2"}, problem.MachineInvalid},
		"TOML that does not parse":   {Draft{AgentTOML: "a ="}, problem.MachineInvalid},
		"a VMID below 100":           {Draft{VMID: 7}, problem.MachineInvalid},
		"two forwards of one port": {Draft{RemoteForwards: []RemoteForward{
			{Listen: "80", Target: "a:1"}, {Listen: "80", Target: "b:1"},
		}}, problem.ForwardConflict},
	} {
		t.Run(what, func(t *testing.T) {
			if c.code != problem.MachineNameInvalid {
				c.draft.Name = "demo"
			}
			err := c.draft.Check()
			wantProblem(t, err, c.code)
			if setting, _, _ := strings.Cut(err.Error(), ": "); strings.Contains(setting, " line ") {
				t.Errorf("it names the line of a file that does not exist: %v", err)
			}
		})
	}
}

func TestADraftWithANameOnlyGetsDefaults(t *testing.T) {
	s := newStore(t)
	m := create(t, s, Draft{Name: "demo"})
	if m.Mode != Immutable || m.Image != ImageNixOS || m.MemoryMiB != 2048 || m.VCPUs != 2 || m.DiskBytes != 30<<30 ||
		m.Network != (Network{}) || !slices.Equal(m.TCPPorts, []uint16{22}) || len(m.Profiles) != 0 || m.Backend != "" {
		t.Errorf("%+v", m)
	}
	for file, want := range map[string]string{
		ProfileFile: "core\n", MemoryFile: "2048\n", VCPUsFile: "2\n", DiskSizeFile: "30G\n", RootPasswordFile: "",
	} {
		if got := read(t, s, "demo", file); got != want {
			t.Errorf("%s: %q, want %q", file, got, want)
		}
	}
	if _, err := os.Stat(filepath.Join(m.Dir, NetworkFile)); !os.IsNotExist(err) {
		t.Errorf("a network file: %v", err) // the backend has one for such machines
	}
}

func TestTheModeMayStandInTheProfileList(t *testing.T) {
	m := create(t, newStore(t), Draft{Name: "demo", Profiles: []string{"semi-mutable", "dev"}})
	if m.Mode != SemiMutable || !slices.Equal(m.Profiles, []string{"dev"}) {
		t.Errorf("%s, %v", m.Mode, m.Profiles)
	}
}

func TestEveryProblemOfADraftIsFound(t *testing.T) {
	wrong := Draft{
		Name: "demo", Profiles: []string{"#dev"}, Mode: "rw", MemoryMiB: 1, VCPUs: 5000, DiskBytes: 1, Network: Network{Kind: "macvtap"},
		Image: "x.qcow2", Backend: "#lab", TCPPorts: []uint16{0}, UserKeys: []string{"ssh-rsa x"},
	}.Problems()
	var files []string
	for _, w := range wrong {
		files = append(files, w.File)
		wantProblem(t, w.Err, problem.From(w.Err).Code)
	}
	for _, want := range []string{ProfileFile, "mode", MemoryFile, VCPUsFile, DiskSizeFile, NetworkFile, ImageFile, BackendFile, TCPPortsFile, UserKeysFile} {
		if n := len(slices.DeleteFunc(slices.Clone(files), func(f string) bool { return f != want })); n != 1 {
			t.Errorf("%s is found %d times in %v", want, n, files)
		}
	}
}
