package machine

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/nixvm/nixvm/internal/problem"
)

// Every file with a value that it cannot hold, the line that is named, and a
// word of the message.
var faulty = []struct {
	file, data string
	line       int
	says       string
}{
	{ProfileFile, "core, Dev", 1, `"Dev"`},
	{ProfileFile, "core,../x", 1, `"../x"`},
	{ProfileFile, "# mine\ncore\ndev\n", 3, "more than one value"},
	{ProfileFile, "mutable,semi-mutable", 1, "has both"},
	{ProfileFile, "core\x00", 1, "control characters"},
	{ProfileFile, "core\xff", 1, "not text"},
	{ProfileFile, "core \u202edev", 1, "control characters"},
	{MutableFile, "yes", 1, `"yes"`},
	{ImageFile, "debian", 1, `"debian"`},
	{ImageFile, "images/x.qcow2", 1, `"images/x.qcow2"`},
	{ImageFile, "ftp://example.org/x.qcow2", 1, "ftp://"},
	{ImageFile, "https://example.org/x y", 1, "is not an image"},
	{BackendFile, "-lab", 1, `"-lab"`},
	{AutostartFile, "yes", 1, `"yes"`},
	{HostnameFile, "my_host", 1, `"my_host"`},
	{HostnameFile, strings.Repeat("a.", 32) + "a", 1, "host name"},
	{MachineIDFile, "1234", 1, `"1234"`},
	{MachineIDFile, strings.Repeat("0", 32), 1, "machine-id"},
	{UUIDFile, "{7c9e6679-7425-40de-944b-e07fc1f90ae7}", 1, "UUID"},
	{UUIDFile, "00000000-0000-0000-0000-000000000000", 1, "UUID"},
	{MACFile, "52:54:00:aa:bb", 1, "MAC"},
	{MACFile, "53:54:00:aa:bb:cc", 1, "MAC"}, // multicast
	{MACFile, "00:00:00:00:00:00", 1, "MAC"},
	{HostKeyFile, "not a key", 0, "private key"},
	{MemoryFile, "", 0, "empty"},
	{MemoryFile, "\n8 GiB\n", 2, `"8 GiB"`},
	{MemoryFile, "127", 1, `"127"`},
	{MemoryFile, "-2048", 1, `"-2048"`},
	{MemoryFile, "99999999999999999999", 1, "MiB"},
	{VCPUsFile, "0", 1, `"0"`},
	{VCPUsFile, "1025", 1, `"1025"`},
	{DiskSizeFile, "1.5Q", 1, `"1.5Q"`},
	{DiskSizeFile, "0", 1, "more than 0"},
	{DiskSizeFile, "63M", 1, "between 64M and 64T"},
	{DiskSizeFile, "65T", 1, "between"},
	{VarSizeFile, "big", 1, `"big"`},
	{NetworkFile, "bridge", 1, `"bridge"`},
	{NetworkFile, "bridge:", 1, `""`},
	{NetworkFile, "bridge:a,script=/tmp/x", 1, "interface"},
	{NetworkFile, "bridge:abcdefghijklmnop", 1, "interface"}, // 16 bytes
	{NetworkFile, "bridge:..", 1, "interface"},
	{StaticIPFile, "address=10.0.0.5", 1, `"10.0.0.5"`},
	{StaticIPFile, "addr=10.0.0.5/24", 1, "neither"},
	{StaticIPFile, "address=10.0.0.5/24\naddress=10.0.0.6/24", 2, "twice"},
	{StaticIPFile, "gateway=10.0.0.1", 0, "without an address"},
	{StaticIPFile, "address=10.0.0.5/24\ngateway=fd00::1", 0, "families"},
	{StaticIPFile, "address=224.0.0.1/24", 0, "not a valid host address"},
	{StaticIPFile, "address=10.0.0.5/24\ngateway=10.0.0.5", 0, "not a gateway"},
	{ResolvConfFile, "nameserver 1.1.1.1\nnameserver one", 2, `"one"`},
	{ResolvConfFile, "servers 1.1.1.1", 1, "resolver setting"},
	{ResolvConfFile, "nameserver", 1, "resolver setting"},
	{HostsFile, "10.0.0.1", 1, "names"},
	{CACertFile, "hello", 1, "no certificate"},
	{CACertFile, "\n-----BEGIN PRIVATE KEY-----\n\n-----END PRIVATE KEY-----\n", 1, "private key"},
	{HostsFile, "host 10.0.0.1", 1, `"host"`},
	{HostsFile, "10.0.0.1 a$b", 1, `"a$b"`},
	{AdminKeysFile, "# me\n\nssh-ed25519 AAAA", 3, "public key"},
	{UserKeysFile, "-----BEGIN OPENSSH PRIVATE KEY-----", 1, "private key"},
	{TCPPortsFile, "22\n70000", 2, `"70000"`},
	{TCPPortsFile, "8000-8010", 1, "ranges"},
	{UDPPortsFile, "0", 1, `"0"`},
	{UDPPortsFile, "dns", 1, `"dns"`},
	{AllowedCIDRsFile, "10.0.0.0/33", 1, `"10.0.0.0/33"`},
	{AllowedCIDRsFile, "lan", 1, `"lan"`},
	{AllowedCIDRsFile, "fe80::1%eth0", 1, "network"},
	{RootPasswordFile, "hunter2", 1, "password hash"},
	{RootPasswordFile, "$6$a$b:0:0", 1, "password hash"},
	{VMIDFile, "99", 1, `"99"`},
	{PCIDevicesFile, "0000:01:00 -args", 1, "PCI"},
	{PCIDevicesFile, "# the GPU\n01:00.0\n0000:01:00.9\n", 3, "0000:01:00.9"},
	{PCIDevicesFile, "01:00.0,cache=1", 1, "options are"},
	{RemoteForwardsFile, "8080 \x1b[31mlocalhost:80", 1, "control characters"},
	{AgentFile, "a = 1\nb = \n", 2, "agent.toml"},
}

func TestAFaultNamesFileLineValueAndWhatToDo(t *testing.T) {
	for _, f := range faulty {
		c := content{f.file: []byte(f.data)}
		_, err := c.parse("demo", func(file string) string { return "/m/" + file })
		var fault *Fault
		if !errors.As(err, &fault) {
			t.Errorf("%s %q: error %v, want a Fault", f.file, f.data, err)
			continue
		}
		if fault.File != "/m/"+f.file || fault.Line != f.line || !strings.Contains(fault.Error()+fault.Hint, f.says) || fault.Hint == "" {
			t.Errorf("%s %q: %+v; want line %d and %q", f.file, f.data, fault, f.line, f.says)
		}
		if strings.ContainsAny(fault.Error(), "\n\r\x00") {
			t.Errorf("%s: the message has several lines: %q", f.file, fault.Error())
		}
	}
}

func TestEveryFileHasAFaultyExample(t *testing.T) {
	for _, s := range settings {
		found := false
		for _, f := range faulty {
			found = found || f.file == s.file
		}
		if !found {
			t.Errorf("no example of a bad %s", s.file)
		}
	}
}

func TestSecretsDoNotShowInErrors(t *testing.T) {
	for file, data := range map[string]string{
		RootPasswordFile: "hunter2", HostKeyFile: "hunter2", AdminKeysFile: "hunter2", UserKeysFile: "hunter2",
	} {
		_, err := content{file: []byte(data)}.parse("demo", func(file string) string { return file })
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestEditorsAreForgiven(t *testing.T) {
	c := content{
		ProfileFile:        []byte("\xef\xbb\xbf dev , claude,,core,dev\r\n\r\n"),
		MemoryFile:         []byte("\n# MiB\n\t4096 \n\n"),
		VCPUsFile:          []byte("4"),
		TCPPortsFile:       []byte("# ssh\r\n22\r\n\r\n  8080 # web\r\n"),
		AllowedCIDRsFile:   []byte("192.168.1.77/24 # printer\nfd00::1"),
		MACFile:            []byte("52-54-00-AA-BB-CC\n"),
		UUIDFile:           []byte("7C9E6679-7425-40DE-944B-E07FC1F90AE7\n"),
		StaticIPFile:       []byte("address = 10.0.0.5/24\n"),
		RemoteForwardsFile: []byte("8080 localhost:80 # web\n"),
		NetworkFile:        nil,
		BackendFile:        []byte("# lab\n"),
	}
	m, err := c.parse("demo", func(file string) string { return file })
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(m.Profiles, []string{"claude", "dev"}) || m.MemoryMiB != 4096 || m.VCPUs != 4 || m.Network != (Network{}) ||
		!reflect.DeepEqual(m.TCPPorts, []uint16{22, 8080}) || m.MAC != "52:54:00:aa:bb:cc" || m.Backend != "" ||
		m.UUID != "7c9e6679-7425-40de-944b-e07fc1f90ae7" || m.AllowedCIDRs[0].String() != "192.168.1.0/24" ||
		m.AllowedCIDRs[1].String() != "fd00::1/128" || m.StaticIP.Gateway.IsValid() {
		t.Errorf("%+v", m)
	}
}

func TestFilesThatCannotBeReadSafely(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "id_ed25519")
	if err := os.WriteFile(outside, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for what, place := range map[string]func(dir string) error{
		"a directory":                 func(d string) error { return os.Mkdir(filepath.Join(d, MemoryFile), 0o700) },
		"a FIFO":                      func(d string) error { return mkfifo(filepath.Join(d, MemoryFile)) },
		"a device":                    func(d string) error { return os.Symlink("/dev/zero", filepath.Join(d, MemoryFile)) },
		"a link to nowhere":           func(d string) error { return os.Symlink("nowhere", filepath.Join(d, MemoryFile)) },
		"a link to itself":            func(d string) error { return os.Symlink(MemoryFile, filepath.Join(d, MemoryFile)) },
		"a huge file":                 func(d string) error { return os.WriteFile(filepath.Join(d, HostsFile), tooLarge(), 0o600) },
		"a host key that leads out":   func(d string) error { return os.Symlink(outside, filepath.Join(d, HostKeyFile)) },
		"a root password leading out": func(d string) error { return os.Symlink(outside, filepath.Join(d, RootPasswordFile)) },
	} {
		t.Run(what, func(t *testing.T) {
			s := newStore(t)
			write(t, s, "demo", ProfileFile, "core\n")
			if err := place(s.Dir("demo")); err != nil {
				t.Fatal(err)
			}
			_, err := s.Read("demo")
			wantProblem(t, err, problem.MachineBroken)
		})
	}
}

func tooLarge() []byte { return []byte(strings.Repeat("#\n", maxFileBytes/2+1)) }

func TestASharedKeyFileMayBeALink(t *testing.T) {
	s := newStore(t)
	shared := filepath.Join(t.TempDir(), "authorized_keys")
	if err := os.WriteFile(shared, []byte(userKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	write(t, s, "demo", ProfileFile, "core\n")
	if err := os.Symlink(shared, filepath.Join(s.Dir("demo"), UserKeysFile)); err != nil {
		t.Fatal(err)
	}
	if m, err := s.Read("demo"); err != nil || len(m.UserKeys) != 1 {
		t.Errorf("%v, %v", m.UserKeys, err)
	}
}

// printed parses what a valid machine prints.
func printed(m Machine) (Machine, error) {
	return m.print().parse(m.Name, func(file string) string { return file })
}

func TestEveryDraftSurvivesPrinting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := drafts().Draw(t, "draft")
		c, faults := d.content()
		if len(faults) > 0 {
			t.Fatalf("refused: %v", faults[0])
		}
		m, err := c.parse(d.Name, func(file string) string { return file })
		if err != nil {
			t.Fatal(err)
		}
		back, err := printed(m)
		m.RootPassword = false // a secret is not printed from a Machine
		if err != nil || !reflect.DeepEqual(m, back) {
			t.Fatalf("%v\nfirst  %+v\nsecond %+v", err, m, back)
		}
	})
}

func FuzzReadMachine(f *testing.F) {
	for _, bad := range faulty {
		f.Add(index(bad.file), []byte(bad.data))
	}
	f.Add(index(ProfileFile), []byte("core,dev,mutable\r\n"))
	f.Add(index(RemoteForwardsFile), []byte("8080 localhost:80\n8080 localhost:81\n8080\n"))
	f.Add(index(UserKeysFile), []byte(userKey))
	f.Add(index(AgentFile), []byte("[git]\nname = \"a\"\n"))
	f.Fuzz(func(t *testing.T, n uint8, data []byte) {
		s := settings[int(n)%len(settings)]
		m, err := content{s.file: data}.parse("demo", func(file string) string { return file })
		if err != nil {
			var fault *Fault
			if !errors.As(err, &fault) || fault.Hint == "" || fault.File != s.file {
				t.Fatalf("%s: %#v", s.file, err)
			}
			return
		}
		back, err := printed(m)
		for _, all := range [][]UnreadForward{m.UnreadForwards, back.UnreadForwards} {
			for i := range all {
				all[i].Fault = nil // it names the line, and a comment comes before it now
			}
		}
		if s.print != nil && (err != nil || !reflect.DeepEqual(m, back)) {
			t.Errorf("%s: %v\nfirst  %+v\nsecond %+v", s.file, err, m, back)
		}
	})
}

func index(file string) uint8 {
	for i, s := range settings {
		if s.file == file {
			return uint8(i)
		}
	}
	panic(file)
}
