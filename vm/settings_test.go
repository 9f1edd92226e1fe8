package vm

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
)

const (
	deskKey  = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f desk"
	otherKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB8eHRwbGhkYFxYVFBMSERAPDg0MCwoJCAcGBQQDAgEA other"
)

// fileOf is the content of a file of a machine; "" for none.
func (h house) fileOf(t *testing.T, name, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(h.layout.Machines(), name, file))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(text)
}

// A client asks for one field after the other: what is wrong with the gateway must not
// keep it from asking for the address first.
func TestAMoveOutOfTheNetworkIsForTheGateway(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	h.set(t, api.ConfigureParams{Name: "demo", StaticIP: new("192.168.7.10/24"), Gateway: new("192.168.7.1"), Nameservers: []string{"192.168.7.1"}})
	got := h.CheckDraft(background, Draft{Configure: &api.ConfigureParams{Name: "demo", StaticIP: new("10.1.0.10/24")}})
	if got[fieldStaticIP].Problem != nil || got[fieldGateway].Problem == nil {
		t.Errorf("address: %v, gateway: %v", got[fieldStaticIP].Problem, got[fieldGateway].Problem)
	}
	if _, err := h.Configure(background, api.ConfigureParams{Name: "demo", StaticIP: new("10.1.0.10/24")}, "t"); err == nil {
		t.Error("it is taken")
	}
}

func TestADraftNamesTheKeysThatCanBeRemoved(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	h.set(t, api.ConfigureParams{Name: "demo", AddKeys: []string{deskKey, strings.TrimSuffix(otherKey, " other")}})
	got := h.CheckDraft(background, Draft{Configure: &api.ConfigureParams{Name: "demo"}})[fieldRemoveKeys].Choices
	if len(got) != 2 || got[0] != "desk" || !strings.HasPrefix(got[1], "SHA256:") {
		t.Fatalf("got %q", got)
	}
	h.set(t, api.ConfigureParams{Name: "demo", RemoveKeys: got})
	if left := h.CheckDraft(background, Draft{Configure: &api.ConfigureParams{Name: "demo"}})[fieldRemoveKeys].Choices; len(left) > 0 {
		t.Errorf("%q are left", left)
	}
}

// set is Configure, of which nothing has to reach the guest.
func (h house) set(t *testing.T, req api.ConfigureParams) {
	t.Helper()
	if _, err := h.Configure(background, req, "t"); err != nil {
		t.Fatal(err)
	}
}

func TestAStaticAddressIsChecked(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	const net = "192.168.7.10/24"
	for what, tt := range map[string]struct {
		req   api.ConfigureParams
		field string
		says  string
	}{
		"a gateway elsewhere":      {api.ConfigureParams{StaticIP: new(net), Gateway: new("192.168.8.1"), Nameservers: []string{"192.168.7.1"}}, fieldGateway, "not in the network 192.168.7.0/24"},
		"the network itself":       {api.ConfigureParams{StaticIP: new("192.168.7.0/24"), Nameservers: []string{"192.168.7.1"}}, fieldStaticIP, "broadcast"},
		"the broadcast address":    {api.ConfigureParams{StaticIP: new("192.168.7.127/25"), Nameservers: []string{"192.168.7.1"}}, fieldStaticIP, "broadcast"},
		"the file's own syntax":    {api.ConfigureParams{StaticIP: new("address=192.168.7.10/24")}, fieldStaticIP, "is not an address"},
		"no address":               {api.ConfigureParams{StaticIP: new("here/24")}, fieldStaticIP, "is not an address"},
		"no name server":           {api.ConfigureParams{StaticIP: new(net)}, fieldNameservers, "no DHCP server tells the guest"},
		"one that is out of reach": {api.ConfigureParams{StaticIP: new(net), Nameservers: []string{"1.1.1.1"}}, fieldNameservers, "there is no gateway"},
		"a gateway alone":          {api.ConfigureParams{Gateway: new("192.168.7.1")}, fieldGateway, "there is no static address"},
		"a gateway with DHCP":      {api.ConfigureParams{StaticIP: new("dhcp"), Gateway: new("192.168.7.1")}, fieldGateway, "DHCP"},
		"hosts that are none":      {api.ConfigureParams{Hosts: []string{"build.lan 10.0.0.1"}}, fieldHosts, "is not an address"},
		"a name for a name server": {api.ConfigureParams{Nameservers: []string{"one.one"}}, fieldNameservers, "is not the address of a name server"},
	} {
		t.Run(what, func(t *testing.T) {
			tt.req.Name = "demo"
			got := h.CheckDraft(background, Draft{Configure: &tt.req})[tt.field].Problem
			if got == nil || !strings.Contains(got.Message, tt.says) {
				t.Errorf("field %s: %+v", tt.field, got)
			}
			if _, err := h.Configure(background, tt.req, "t"); err == nil {
				t.Error("it is taken")
			}
			if h.fileOf(t, "demo", machine.StaticIPFile) != "" || h.fileOf(t, "demo", machine.HostsFile) != "" {
				t.Error("what was refused is kept")
			}
		})
	}
	good := api.ConfigureParams{Name: "demo", StaticIP: new(net), Gateway: new("192.168.7.1"), Nameservers: []string{"1.1.1.1", "192.168.7.1"}, Hosts: []string{"10.0.0.1 build.lan build"}}
	if _, err := h.Configure(background, good, "t"); err != nil {
		t.Fatal(err)
	}
	h.waits(t, "demo", "hosts", "resolvConf", "staticIp")
	if got := h.fileOf(t, "demo", machine.ResolvConfFile); got != "nameserver 1.1.1.1\nnameserver 192.168.7.1\n" {
		t.Errorf("resolv.conf %q", got)
	}
	// The address alone keeps its gateway, if that is in its network still.
	if _, err := h.Configure(background, api.ConfigureParams{Name: "demo", StaticIP: new("192.168.7.11/24")}, "t"); err != nil {
		t.Fatal(err)
	}
	if got := h.fileOf(t, "demo", machine.StaticIPFile); got != "address=192.168.7.11/24\ngateway=192.168.7.1\n" {
		t.Errorf("static_ip %q", got)
	}
	if _, err := h.Configure(background, api.ConfigureParams{Name: "demo", StaticIP: new("192.168.9.11/24")}, "t"); !problem.HasCode(err, problem.MachineInvalid) {
		t.Errorf("an address of another network than the gateway: %v", err)
	}
	if _, err := h.Configure(background, api.ConfigureParams{Name: "demo", StaticIP: new("dhcp"), Nameservers: []string{}, Hosts: []string{}}, "t"); err != nil {
		t.Fatal(err)
	}
	h.waits(t, "demo")
	for _, file := range []string{machine.StaticIPFile, machine.ResolvConfFile, machine.HostsFile} {
		if got := h.fileOf(t, "demo", file); got != "" {
			t.Errorf("%s %q", file, got)
		}
	}
}

func TestNameServersLeaveTheRestOfResolvConf(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	h.byHand(t, "demo", machine.ResolvConfFile, "search lan\nnameserver 192.0.2.1\noptions edns0\n")
	if _, err := h.Configure(background, api.ConfigureParams{Name: "demo", Nameservers: []string{"192.0.2.9"}}, "t"); err != nil {
		t.Fatal(err)
	}
	if got := h.fileOf(t, "demo", machine.ResolvConfFile); got != "nameserver 192.0.2.9\nsearch lan\noptions edns0\n" {
		t.Errorf("%q", got)
	}
}

func TestKeysAreAddedAndRemovedByWhatNamesThem(t *testing.T) {
	h := open(t, t.TempDir(), applies, nil, nil)
	h.create(t, "demo")
	has := func(want ...string) {
		t.Helper()
		for _, file := range []string{machine.AdminKeysFile, machine.UserKeysFile} {
			text := h.fileOf(t, "demo", file)
			for _, key := range []string{deskKey, otherKey} {
				if strings.Contains(text, key) != slices.Contains(want, key) {
					t.Errorf("%s, want %q:\n%s", file, want, text)
				}
			}
		}
		medium := h.medium(t, "demo")
		if strings.Contains(medium, deskKey) != slices.Contains(want, deskKey) {
			t.Error("the guest has other keys")
		}
	}
	h.configure(t, api.ConfigureParams{Name: "demo", AddKeys: []string{deskKey, otherKey, deskKey}})
	has(deskKey, otherKey)
	// The same key with another comment is there already.
	if v, err := h.Configure(background, api.ConfigureParams{Name: "demo", AddKeys: []string{strings.Replace(deskKey, " desk", " again", 1)}}, "t"); err != nil || v.Operation != nil {
		t.Errorf("%+v, %v", v.Operation, err)
	}
	h.configure(t, api.ConfigureParams{Name: "demo", RemoveKeys: []string{"desk"}})
	has(otherKey)
	h.configure(t, api.ConfigureParams{Name: "demo", RemoveKeys: []string{strings.TrimSuffix(otherKey, " other")}, AddKeys: []string{deskKey}})
	has(deskKey)
	own, err := h.ssh.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	for what, req := range map[string]api.ConfigureParams{
		"a key that is not there": {RemoveKeys: []string{"other"}},
		"nixvm's own key":         {RemoveKeys: []string{own}},
		"what is no key":          {AddKeys: []string{"ssh-ed25519 nonsense"}},
		"a comment":               {AddKeys: []string{"# " + otherKey}},
		"a private key":           {AddKeys: []string{"-----BEGIN OPENSSH PRIVATE KEY-----"}},
	} {
		req.Name = "demo"
		if _, err := h.Configure(background, req, "t"); !problem.HasCode(err, problem.BadParams) && !problem.HasCode(err, problem.MachineInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	has(deskKey)
}
