package machine

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nixvm/nixvm/internal/problem"
)

func TestUpdateTouchesOnlyWhatChanges(t *testing.T) {
	s := newStore(t)
	create(t, s, Draft{Name: "demo"})
	write(t, s, "demo", "notes.txt", "mine\n")
	write(t, s, "demo", TCPPortsFile, "# my own words\n22\n")
	before := files(t, s, "demo")
	m, err := s.Update("demo", Changes{MemoryMiB: new(4096), TCPPorts: &[]uint16{22}, Backend: new("lab")})
	if err != nil {
		t.Fatal(err)
	}
	if m.MemoryMiB != 4096 || m.Backend != "lab" {
		t.Errorf("%+v", m)
	}
	before[MemoryFile], before[BackendFile] = "4096\n", "lab\n"
	if diff := cmp.Diff(before, files(t, s, "demo")); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestUpdateOfEverySetting(t *testing.T) {
	s := newStore(t)
	old := create(t, s, Draft{Name: "demo"})
	want := old
	want.Profiles, want.Mode, want.Image, want.Backend = []string{"claude", "dev"}, SemiMutable, "/srv/x.qcow2", "pve"
	want.MemoryMiB, want.VCPUs, want.DiskBytes, want.Network = 8192, 8, 60<<30, Network{Kind: "bridge", Bridge: "br0"}
	want.Autostart = true
	want.StaticIP = &StaticIP{Address: netip.MustParsePrefix("10.0.0.5/24"), Gateway: netip.MustParseAddr("10.0.0.1")}
	want.ResolvConf, want.Hosts, want.AgentTOML = "nameserver 9.9.9.9\n", "10.0.0.9 nine\n", "x = 1\n"
	want.AdminKeys, want.UserKeys = []string{userKey}, []string{userKey}
	want.TCPPorts, want.UDPPorts, want.AllowedCIDRs = []uint16{80}, []uint16{53}, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	want.RemoteForwards = []RemoteForward{{Listen: "8080", Target: "localhost:80", Daemon: true}}
	want.RootPassword, want.VMID, want.PCIDevices = true, 100, []string{"0000:01:00"}
	got, err := s.Update("demo", Changes{
		Profiles: &want.Profiles, Mode: &want.Mode, Image: &want.Image, Backend: &want.Backend, MemoryMiB: &want.MemoryMiB,
		VCPUs: &want.VCPUs, DiskBytes: &want.DiskBytes, Autostart: &want.Autostart, Network: &want.Network, StaticIP: want.StaticIP, ResolvConf: &want.ResolvConf,
		Hosts: &want.Hosts, AdminKeys: &want.AdminKeys, UserKeys: &want.UserKeys, TCPPorts: &want.TCPPorts, UDPPorts: &want.UDPPorts,
		AllowedCIDRs: &want.AllowedCIDRs, RemoteForwards: &want.RemoteForwards, RootPassword: new("$y$j9T$abc$def"),
		AgentTOML: &want.AgentTOML, VMID: &want.VMID, PCIDevices: &want.PCIDevices,
	})
	if len(got.PasswordSum) != 64 || strings.Contains(got.PasswordSum, "abc") {
		t.Errorf("the sum of the password's hash is %q", got.PasswordSum)
	}
	want.PasswordSum = got.PasswordSum
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%v\ngot  %+v\nwant %+v", err, got, want)
	}
	back, err := s.Update("demo", Changes{
		Profiles: &[]string{}, Mode: new(Immutable), Image: new(""), Backend: new(""), Network: &Network{}, DHCP: true,
		ResolvConf: new(""), Hosts: new(""), AdminKeys: &[]string{}, UserKeys: &[]string{}, TCPPorts: &[]uint16{}, UDPPorts: &[]uint16{},
		AllowedCIDRs: &[]netip.Prefix{}, RemoteForwards: &[]RemoteForward{}, RootPassword: new(""), AgentTOML: new(""), VMID: new(0),
		PCIDevices: &[]string{}, MemoryMiB: &old.MemoryMiB, VCPUs: &old.VCPUs, Autostart: new(false),
	})
	old.DiskBytes, old.TCPPorts = want.DiskBytes, nil // a disk does not shrink; no ports means none
	if err != nil || !reflect.DeepEqual(back, old) {
		t.Fatalf("%v\ngot  %+v\nwant %+v", err, back, old)
	}
}

func TestARefusedUpdateChangesNothing(t *testing.T) {
	s := newStore(t)
	create(t, s, Draft{Name: "demo"})
	before := files(t, s, "demo")
	for what, c := range map[string]struct {
		changes Changes
		code    problem.Code
	}{
		"a disk that shrinks":      {Changes{DiskBytes: new(int64(1 << 30)), VCPUs: new(8)}, problem.SizeInvalid},
		"too little memory":        {Changes{MemoryMiB: new(0), Backend: new("lab")}, problem.MachineInvalid},
		"an unknown mode":          {Changes{Mode: new(Mode("rw"))}, problem.MachineInvalid},
		"a profile like a comment": {Changes{Profiles: &[]string{"#x"}}, problem.MachineInvalid},
	} {
		_, err := s.Update("demo", c.changes)
		wantProblem(t, err, c.code)
		if diff := cmp.Diff(before, files(t, s, "demo")); diff != "" {
			t.Errorf("%s changed files:\n%s", what, diff)
		}
	}
}

func TestNewProfilesKeepTheModeThatTheListHeld(t *testing.T) {
	s := adopted(t, "claude-dev") // semi-mutable by a word in its profile list
	m, err := s.Update("claude-dev", Changes{Profiles: &[]string{"rust"}})
	if err != nil || m.Mode != SemiMutable || !reflect.DeepEqual(m.Profiles, []string{"rust"}) {
		t.Errorf("%+v, %v", m, err)
	}
	m, err = s.Update("claude-dev", Changes{Mode: new(Immutable)})
	if err != nil || m.Mode != Immutable {
		t.Errorf("%+v, %v", m, err)
	}
	if _, err := os.Stat(filepath.Join(s.Dir("claude-dev"), MutableFile)); !os.IsNotExist(err) {
		t.Errorf("the file mutable is still there: %v", err)
	}
}

func TestTheModeLeavesTheProfileListWhenItChanges(t *testing.T) {
	s := adopted(t, "claude-dev")
	m, err := s.Update("claude-dev", Changes{Mode: new(Mutable)})
	if err != nil || m.Mode != Mutable || len(m.Profiles) != 4 {
		t.Errorf("%+v, %v", m, err)
	}
}
