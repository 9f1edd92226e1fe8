package machine

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine/internal/isofs/isotest"
)

func full() Draft {
	return Draft{
		Name: "demo", AdminKeys: []string{userKey}, UserKeys: []string{userKey}, TCPPorts: []uint16{22, 8080}, UDPPorts: []uint16{53},
		AllowedCIDRs: []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24")},
		StaticIP:     &StaticIP{Address: netip.MustParsePrefix("10.0.0.5/24"), Gateway: netip.MustParseAddr("10.0.0.1")},
		ResolvConf:   "nameserver 1.1.1.1\n", Hosts: "10.0.0.9 nine\n", RootPasswordHash: "$y$j9T$abc$def",
	}
}

func medium(tb testing.TB, m Machine, generation uint64) []byte {
	tb.Helper()
	image, err := Medium(m, generation)
	if err != nil {
		tb.Fatal(err)
	}
	return image
}

func TestTheMediumHoldsTheIdentity(t *testing.T) {
	s := newStore(t)
	m := create(t, s, full())
	want := map[string]string{
		"hostname": "demo\n", "machine-id": m.MachineID + "\n", "ssh_host_ed25519_key": read(t, s, "demo", HostKeyFile),
		"admin_authorized_keys": userKey + "\n", "user_authorized_keys": userKey + "\n", "tcp_ports": "22\n8080\n", "udp_ports": "53\n",
		"allowed_cidrs": "192.168.1.0/24\n", "static_ip": "address=10.0.0.5/24\ngateway=10.0.0.1\n", "resolv.conf": "nameserver 1.1.1.1\n",
		"hosts": "10.0.0.9 nine\n", "root_password_hash": "$y$j9T$abc$def\n", "generation": "18446744073709551615\n",
	}
	if diff := cmp.Diff(want, isotest.Files(t, medium(t, m, 1<<64-1))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWhatIsNotSetIsAnEmptyFile(t *testing.T) {
	s := newStore(t)
	m := create(t, s, Draft{Name: "demo", TCPPorts: []uint16{}})
	got := isotest.Files(t, medium(t, m, 0))
	if len(got) != 13 || got["generation"] != "0\n" {
		t.Errorf("%d files", len(got))
	}
	for _, file := range []string{StaticIPFile, ResolvConfFile, HostsFile, TCPPortsFile, RootPasswordFile, UserKeysFile} {
		if data, there := got[file]; !there || data != "" {
			t.Errorf("%s: %q, %v", file, data, there)
		}
	}
}

func TestCertificatesAreOnTheMediumOfAMachineThatHasThem(t *testing.T) {
	s := newStore(t)
	m := create(t, s, Draft{Name: "demo"})
	without, err := Digest(m)
	if err != nil {
		t.Fatal(err)
	}
	cert, _ := certificate(t)
	write(t, s, "demo", CACertFile, "# ours\n"+cert)
	if m, err = s.Read("demo"); err != nil {
		t.Fatal(err)
	}
	if got := isotest.Files(t, medium(t, m, 1)); got[CACertFile] != cert {
		t.Errorf("the medium has %q", got[CACertFile])
	}
	if with, err := Digest(m); err != nil || with == without {
		t.Errorf("the guest is not told of it: %v", err)
	}
}

func TestTheMediumIsCleanOfWhatEditorsLeave(t *testing.T) {
	s := newStore(t)
	create(t, s, Draft{Name: "demo"})
	write(t, s, "demo", TCPPortsFile, "\xef\xbb\xbf# web\r\n 8080 # dev\r\n\r\n")
	write(t, s, "demo", HostsFile, "# mine\r\n10.0.0.9\tnine # the ninth\r\n")
	m, err := s.Read("demo")
	if err != nil {
		t.Fatal(err)
	}
	got := isotest.Files(t, medium(t, m, 1))
	if got[TCPPortsFile] != "8080\n" || got[HostsFile] != "10.0.0.9 nine\n" {
		t.Errorf("%q", got)
	}
}

func TestTheSameIdentityGivesTheSameBytes(t *testing.T) {
	s := newStore(t)
	m := create(t, s, full())
	a, b := medium(t, m, 7), medium(t, m, 7)
	if !bytes.Equal(a, b) {
		t.Error("two builds differ")
	}
	if bytes.Equal(a, medium(t, m, 8)) {
		t.Error("the generation does not show")
	}
}

func TestTheDigestChangesWithTheIdentityOnly(t *testing.T) {
	s := newStore(t)
	m := create(t, s, full())
	seen := map[string]string{}
	digest := func(what string) string {
		m, err := s.Read("demo")
		if err != nil {
			t.Fatal(err)
		}
		d, err := Digest(m)
		if err != nil || len(d) != 64 {
			t.Fatalf("%q, %v", d, err)
		}
		seen[d] = what
		return d
	}
	first := digest("as created")
	if _, err := s.Update("demo", Changes{MemoryMiB: new(4096), Profiles: &[]string{"dev"}}); err != nil {
		t.Fatal(err)
	}
	if digest("more memory") != first {
		t.Error("memory is not part of the identity")
	}
	for _, ch := range []Changes{
		{RootPassword: new("$y$j9T$abc$xyz")},
		{UserKeys: &[]string{}},
		{AdminKeys: &[]string{}},
		{DHCP: true},
		{TCPPorts: &[]uint16{22, 80, 8080}},
		{UDPPorts: &[]uint16{}},
		{Hosts: new("")},
		{ResolvConf: new("")},
	} {
		before := len(seen)
		if _, err := s.Update("demo", ch); err != nil {
			t.Fatal(err)
		}
		if digest("changed"); len(seen) != before+1 {
			t.Errorf("%+v does not change the digest", ch)
		}
	}
	if err := os.Remove(filepath.Join(m.Dir, HostKeyFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.EnsureIdentity("demo"); err != nil {
		t.Fatal(err)
	}
	before := len(seen)
	if digest("new host key"); len(seen) != before+1 {
		t.Error("the host key is not in the digest")
	}
	// The Machine read first still says the old key: clients would pin a key that the guest does not have.
	if _, err := Medium(m, 1); !problem.HasCode(err, problem.MachineBroken) {
		t.Errorf("a stale machine: %v", err)
	}
}

func TestAMachineWithoutIdentityHasNoMedium(t *testing.T) {
	s := adopted(t, "old-style")
	m, err := s.Read("old-style")
	if err != nil {
		t.Fatal(err)
	}
	_, err = Medium(m, 1)
	wantProblem(t, err, problem.MachineInvalid)
	_, err = Digest(m)
	wantProblem(t, err, problem.MachineInvalid)
}
