package machine

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"golang.org/x/sys/unix"
)

// adopted copies a directory as nixos-vm-template makes it into a store.
func adopted(tb testing.TB, name string) *Store {
	tb.Helper()
	s := newStore(tb)
	if err := os.CopyFS(s.Dir(name), os.DirFS(filepath.Join("testdata", "adopted", name))); err != nil {
		tb.Fatal(err)
	}
	return s
}

func TestAMachineOfNixosVMTemplateIsReadAsItIs(t *testing.T) {
	s := adopted(t, "claude-dev")
	m, err := s.Read("claude-dev")
	if err != nil {
		t.Fatal(err)
	}
	if m.Mode != SemiMutable || !reflect.DeepEqual(m.Profiles, []string{"claude", "dev", "docker", "podman"}) ||
		m.MemoryMiB != 8192 || m.VCPUs != 4 || m.DiskBytes != 50<<30 || m.Network.Bridge != "br0" ||
		m.StaticIP.Address.String() != "10.56.0.5/24" || m.ResolvConf != "nameserver 1.1.1.1\nnameserver 1.0.0.1\n" ||
		!reflect.DeepEqual(m.TCPPorts, []uint16{22, 80, 443}) || m.UDPPorts != nil || m.Hosts != "" || m.RootPassword ||
		len(m.AdminKeys) != 1 || len(m.UserKeys) != 1 || m.VMID != 104 || len(m.PCIDevices) != 1 {
		t.Errorf("%+v", m)
	}
	if m.IdentityComplete() {
		t.Error("the template makes no host key, so the identity cannot be complete")
	}
}

func TestAnOldMachineOfNixosVMTemplateIsReadAsItIs(t *testing.T) {
	m, err := adopted(t, "old-style").Read("old-style")
	if err != nil {
		t.Fatal(err)
	}
	if m.Mode != Mutable || m.DiskBytes != 30<<30 || !reflect.DeepEqual(m.Profiles, []string{"docker"}) {
		t.Errorf("%+v", m)
	}
}

func TestAdoptionAddsWhatIsMissingAndChangesNothing(t *testing.T) {
	for _, name := range []string{"claude-dev", "old-style"} {
		s := adopted(t, name)
		before := files(t, s, name)
		m, err := s.EnsureIdentity(name)
		if err != nil {
			t.Fatal(err)
		}
		if !m.IdentityComplete() {
			t.Errorf("%+v", m)
		}
		after := files(t, s, name)
		for file, data := range before {
			if after[file] != data {
				t.Errorf("%s/%s was changed", name, file)
			}
		}
		if _, err := Medium(m, 1); err != nil {
			t.Error(err)
		}
	}
}

func files(tb testing.TB, s *Store, name string) map[string]string {
	tb.Helper()
	entries, err := os.ReadDir(s.Dir(name))
	if err != nil {
		tb.Fatal(err)
	}
	all := map[string]string{}
	for _, e := range entries {
		all[e.Name()] = read(tb, s, name, e.Name())
	}
	return all
}

func mkfifo(path string) error { return unix.Mkfifo(path, 0o600) }
