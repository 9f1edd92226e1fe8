package machine

import (
	"context"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nixvm/nixvm/internal/problem"
)

// rich is a machine in which every setting is set.
func rich(name string) Draft {
	return Draft{
		Name: name, Profiles: []string{"claude", "dev"}, Mode: Mutable, Image: ImageTrial, Backend: "lab",
		MemoryMiB: 4096, VCPUs: 3, DiskBytes: 8 << 30, Network: Network{Kind: "bridge", Bridge: "br0"},
		StaticIP:   &StaticIP{Address: netip.MustParsePrefix("192.168.7.5/24"), Gateway: netip.MustParseAddr("192.168.7.1")},
		ResolvConf: "nameserver 192.168.7.1\n", Hosts: "192.168.7.9 printer\n",
		TCPPorts: []uint16{22, 8080}, UDPPorts: []uint16{53}, AllowedCIDRs: []netip.Prefix{netip.MustParsePrefix("192.168.7.0/24")},
		RemoteForwards:   []RemoteForward{{Listen: "8080", Target: "localhost:80"}},
		RootPasswordHash: "$6$salt$abcdefghijklmnopqrstuvwxyz", AgentTOML: "name = \"x\"\n", VMID: 104, PCIDevices: []string{"0000:01:00"},
	}
}

func TestACloneHasTheSettingsOfItsSourceAndAnIdentityOfItsOwn(t *testing.T) {
	s := newStore(t)
	create(t, s, rich("demo"))
	write(t, s, "demo", TCPPortsFile, "# my own words\n22\n8080\n")
	write(t, s, "demo", "notes.txt", "of this machine\n")
	before := files(t, s, "demo")
	m, err := s.Clone(context.Background(), "demo", "copy", Changes{MemoryMiB: new(2048), DiskBytes: new(int64(9 << 30))})
	if err != nil {
		t.Fatal(err)
	}
	if m.Hostname != "copy" || !m.IdentityComplete() {
		t.Errorf("the identity is %+v", m)
	}
	after := files(t, s, "copy")
	for _, file := range []string{HostnameFile, MachineIDFile, UUIDFile, MACFile, HostKeyFile, HostKeyPubFile} {
		if after[file] == before[file] {
			t.Errorf("%s is the source's", file)
		}
		delete(before, file)
		delete(after, file)
	}
	for _, file := range []string{StaticIPFile, VMIDFile, PCIDevicesFile, "notes.txt"} {
		delete(before, file)
	}
	before[MemoryFile], before[DiskSizeFile] = "2048\n", "9G\n"
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestACloneThatIsRefusedLeavesNothing(t *testing.T) {
	s := newStore(t)
	create(t, s, rich("demo"))
	create(t, s, Draft{Name: "there"})
	write(t, s, "broken", MemoryFile, "x")
	for what, c := range map[string]struct {
		code         problem.Code
		source, name string
		changes      Changes
	}{
		"a bad name":                  {problem.MachineNameInvalid, "demo", "../x", Changes{}},
		"a source that is not there":  {problem.MachineNotFound, "nobody", "copy", Changes{}},
		"a source that is not valid":  {problem.MachineBroken, "broken", "copy", Changes{}},
		"a name that is taken":        {problem.MachineExists, "demo", "there", Changes{}},
		"a name that is not valid":    {problem.MachineExists, "demo", "broken", Changes{}},
		"its own name":                {problem.MachineExists, "demo", "demo", Changes{}},
		"a disk that shrinks":         {problem.SizeInvalid, "demo", "copy", Changes{DiskBytes: new(int64(1 << 30))}},
		"less memory than any system": {problem.MachineInvalid, "demo", "copy", Changes{MemoryMiB: new(1)}},
	} {
		t.Run(what, func(t *testing.T) {
			before := s.entries(t)
			wrong, err := s.CheckClone(c.source, c.name, c.changes)
			if err == nil && len(wrong) == 1 {
				err = wrong[0].Err
			}
			wantProblem(t, err, c.code)
			_, err = s.Clone(context.Background(), c.source, c.name, c.changes)
			wantProblem(t, err, c.code)
			if diff := cmp.Diff(before, s.entries(t)); diff != "" {
				t.Errorf("entries (-want +got):\n%s", diff)
			}
		})
	}
}
