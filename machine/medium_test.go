package machine

import (
	"bytes"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
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
	got := isotest.Files(t, medium(t, m, 1<<64-1))
	delete(got, SumsFile)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTheMediumProvesEachOfItsFiles(t *testing.T) {
	m := create(t, newStore(t), full())
	dir := t.TempDir()
	files := isotest.Files(t, medium(t, m, 1))
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	check := func() error {
		cmd := exec.Command("sha256sum", "-c", "--status", SumsFile)
		cmd.Dir = dir
		return cmd.Run()
	}
	if err := check(); err != nil || strings.Count(files[SumsFile], "\n") != len(files)-2 {
		t.Errorf("%d files, %v, digests:\n%s", len(files), err, files[SumsFile])
	}
	for name, data := range files {
		if name == GenerationFile || name == SumsFile || data == "" {
			continue
		}
		os.WriteFile(filepath.Join(dir, name), []byte(data[1:]), 0o600)
		if check() == nil {
			t.Errorf("half of %s is taken for the whole", name)
		}
		os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600)
	}
}

func TestEveryMediumHasTheSameLength(t *testing.T) {
	s := newStore(t)
	few := create(t, s, Draft{Name: "few"})
	big := full()
	big.Hosts = strings.Repeat("10.0.0.9 "+strings.Repeat("n", 60)+"\n", maxIdentityFile/71)
	for _, m := range []Machine{few, create(t, s, big)} {
		if got := len(medium(t, m, 1)); got != MediumSize {
			t.Errorf("%s: %d bytes", m.Name, got)
		}
	}
	few.AdminKeys = []string{strings.Repeat("k", maxIdentityFile)}
	if _, err := Medium(few, 1); !problem.HasCode(err, problem.MachineInvalid) || !strings.Contains(err.Error(), AdminKeysFile) {
		t.Errorf("a file that no guest takes: %v", err)
	}
}

func TestADigestOfEachFileSaysWhatHasChanged(t *testing.T) {
	s := newStore(t)
	m := create(t, s, full())
	before, files := FileDigests(m), isotest.Files(t, medium(t, m, 1))
	for file := range files {
		if before[file] == "" && file != GenerationFile && file != SumsFile {
			t.Errorf("%s of the medium has no digest", file)
		}
	}
	m, err := s.Update("demo", Changes{TCPPorts: &[]uint16{1}, RootPassword: new("$y$j9T$abc$xyz")})
	if err != nil {
		t.Fatal(err)
	}
	after := FileDigests(m)
	var changed []string
	for _, file := range slices.Sorted(maps.Keys(after)) {
		if before[file] != after[file] {
			changed = append(changed, file)
		}
	}
	if want := []string{RootPasswordFile, TCPPortsFile}; !slices.Equal(changed, want) {
		t.Errorf("%v have changed, want %v", changed, want)
	}
}

func TestWhatIsNotSetIsAnEmptyFile(t *testing.T) {
	s := newStore(t)
	m := create(t, s, Draft{Name: "demo", TCPPorts: []uint16{}})
	got := isotest.Files(t, medium(t, m, 0))
	if len(got) != 14 || got["generation"] != "0\n" {
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
