package proxmox_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/proxmox"
	"github.com/nixvm/nixvm/backends/proxmox/pve"
	"github.com/nixvm/nixvm/backends/proxmox/pvesim"
	"github.com/nixvm/nixvm/internal/paths"
)

// finding returns the one that has the words.
func finding(all []backends.Finding, words ...string) *backends.Finding {
	i := slices.IndexFunc(all, func(f backends.Finding) bool {
		return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(f.Message, w) })
	})
	if i < 0 {
		return nil
	}
	return &all[i]
}

// fatal are the findings with which nothing works.
func fatal(all []backends.Finding) []backends.Finding {
	return slices.DeleteFunc(slices.Clone(all), func(f backends.Finding) bool { return f.Severity != backends.Fatal })
}

func TestAClusterWithAllThatIsNeededHasNoFault(t *testing.T) {
	for _, version := range []string{"8.4.1", "9.0.3", "9.2.11"} {
		b := newWorld(t, pvesim.Config{Version: version}).opened(t)
		if f := fatal(b.Check(t.Context())); len(f) > 0 {
			t.Errorf("on %s: %+v", version, f)
		}
	}
}

func TestEachMissingPrivilegeIsNamedWithItsPathAndTheCommand(t *testing.T) {
	token := pvesim.DefaultToken()
	for version, privileges := range map[string]map[string]string{
		"9.2.11": {
			"VM.Clone": "/vms", "VM.Config.CDROM": "/vms", "VM.GuestAgent.Audit": "/vms", "VM.PowerMgmt": "/vms",
			"Datastore.AllocateTemplate": "/storage/local", "Datastore.AllocateSpace": "/storage/thin", "SDN.Use": "/sdn/zones/localnetwork",
		},
		"8.4.1": {"VM.Monitor": "/vms"},
	} {
		for privilege, path := range privileges {
			acl := pvesim.DefaultACL(version, token.ID, pvesim.DefaultStorages())
			for i := range acl {
				if acl[i].Path == path {
					acl[i].Role = "Less"
					acl[i].Privileges = slices.DeleteFunc(slices.Clone(acl[i].Privileges), func(p string) bool { return p == privilege })
				}
			}
			b := newWorld(t, pvesim.Config{Version: version, ACL: acl}).opened(t)
			f := finding(b.Check(t.Context()), privilege, path)
			if f == nil || f.Severity != backends.Fatal {
				t.Errorf("without %s on %s, %s: %+v", privilege, path, version, f)
				continue
			}
			for _, word := range []string{"pveum role add", "pveum acl modify " + path, privilege, "--users 'nixvmd@pve'", "--tokens 'nixvmd@pve!t1'"} {
				if !strings.Contains(f.Fix, word) {
					t.Errorf("the fix for %s lacks %q: %s", privilege, word, f.Fix)
				}
			}
		}
	}
}

func TestATokenThatCannotDeleteUploadsIsWarnedOf(t *testing.T) {
	b := newWorld(t, pvesim.Config{}).opened(t)
	if f := finding(b.Check(t.Context()), "Datastore.Allocate", "host keys"); f == nil || f.Severity != backends.Warning {
		t.Errorf("%+v", f)
	}
}

func TestWhatTheClusterLacksIsNamed(t *testing.T) {
	noImport := pvesim.DefaultStorages()
	noImport[0].Content = []string{"iso", "images"}
	for name, c := range map[string]struct {
		config pvesim.Config
		node   string
		words  []string
		fix    string
	}{
		"an old release":      {pvesim.Config{Version: "8.3.2"}, "", []string{"8.3", "cannot import"}, "8.4"},
		"no content import":   {pvesim.Config{Storages: noImport}, "", []string{"local", "import"}, "pvesm set local --content iso,images,import"},
		"no such storage":     {pvesim.Config{Storages: pvesim.DefaultStorages()[:1]}, "", []string{"no storage thin"}, "disks"},
		"no such node":        {pvesim.Config{}, "pve9", []string{"no node pve9"}, "any"},
		"no such bridge":      {pvesim.Config{Bridges: []string{"vmbr7"}}, "", []string{"no bridge vmbr0"}, "vmbr7"},
		"isolation, not seen": {pvesim.Config{}, "", []string{"firewall", "cannot be seen"}, "Sys.Audit"},
	} {
		w := newWorld(t, c.config)
		w.node = c.node
		f := finding(w.opened(t).Check(t.Context()), c.words...)
		if f == nil || !strings.Contains(f.Fix, c.fix) {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

func TestAServerThatIsNotTrustedIsNamedByItsFingerprint(t *testing.T) {
	w := newWorld(t, pvesim.Config{})
	b, err := proxmox.New(proxmox.Config{
		Name: "lab", Layout: paths.Under(w.dir), Images: "local", Disks: "thin",
		API: pve.Config{URL: w.sim.URL, TokenID: w.token.ID, Secret: pve.Secret{File: w.dir + "/secret"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	f := b.Check(t.Context())
	if len(f) != 1 || f[0].Severity != backends.Fatal || !strings.Contains(f[0].Message, w.sim.Fingerprint) || !strings.Contains(f[0].Fix, w.sim.Fingerprint) {
		t.Errorf("%+v", f)
	}
}

func TestATokenThatIsNotAcceptedIsNamed(t *testing.T) {
	w := newWorld(t, pvesim.Config{})
	w.token.ID = "nixvmd@pve!other"
	if f := finding(w.opened(t).Check(t.Context()), "does not accept the token nixvmd@pve!other"); f == nil || f.Severity != backends.Fatal {
		t.Errorf("%+v", f)
	}
}

func TestTheBridgesOfTheNodeAreListedAndChecked(t *testing.T) {
	b := newWorld(t, pvesim.Config{Bridges: []string{"vmbr1", "vmbr0"}}).opened(t)
	host, ok := backends.As[backends.BridgeHost](b)
	if !ok {
		t.Fatal("the backend has no bridges")
	}
	all, err := host.Bridges(t.Context())
	if err != nil || len(all) != 2 || all[0].Name != "vmbr0" || !all[0].Up {
		t.Errorf("%+v, %v", all, err)
	}
	if err := host.CheckBridge(t.Context(), "vmbr1"); err != nil {
		t.Error(err)
	}
	if err := host.CheckBridge(t.Context(), "vmbr9"); err == nil || !strings.Contains(err.Error(), "vmbr0, vmbr1") {
		t.Errorf("a bridge that is missing: %v", err)
	}
}
