package vm

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/machine"
	"github.com/nixvm/nixvm/vm/inventory"
)

// waits checks which settings a VM is said to take over at its next start.
func (h house) waits(t *testing.T, name string, want ...string) {
	t.Helper()
	v, err := h.Get(name)
	if err != nil || !slices.Equal(v.NextStart, want) {
		t.Errorf("at its next start %s takes over %q, want %q (%v)", name, v.NextStart, want, err)
	}
}

// byHand changes a file of a machine as a person does.
func (h house) byHand(t *testing.T, name, file, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(h.layout.Machines(), name, file), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	h.inventory.Reload(name)
}

func TestStatusNamesWhatARunningVMTakesOverLater(t *testing.T) {
	home := t.TempDir()
	h := open(t, home, images{}, nil, nil)
	h.create(t, "demo")
	h.waits(t, "demo")
	if _, err := h.Configure(background, api.ConfigureParams{Name: "demo", TCPPorts: []uint16{80}, MemoryMiB: new(4096)}); err != nil {
		t.Fatal(err)
	}
	h.byHand(t, "demo", machine.HostsFile, "192.0.2.9 nine\n")
	h.byHand(t, "demo", machine.UserKeysFile, "")
	h.byHand(t, "demo", machine.RootPasswordFile, "$y$j9T$abc$def\n")
	all := []string{"hosts", "rootPassword", "tcpPorts", "authorizedKeys"}
	h.waits(t, "demo", all...)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	h = open(t, home, images{}, nil, nil)
	h.waits(t, "demo", all...)

	h.byHand(t, "demo", machine.HostsFile, "")
	h.waits(t, "demo", "rootPassword", "tcpPorts", "authorizedKeys")
	op, err := h.Stop(background, "demo", 0, "t")
	h.succeed(t, op, err)
	h.waits(t, "demo")
	op, err = h.Start(background, "demo", "t")
	h.succeed(t, op, err)
	h.waits(t, "demo")
}

func TestWhatAnEarlierVersionHasStartedIsNotKnown(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	if err := h.inventory.UpdateRecord("demo", func(r *inventory.Record) { r.Identity = nil }); err != nil {
		t.Fatal(err)
	}
	h.byHand(t, "demo", machine.HostsFile, "192.0.2.9 nine\n")
	h.waits(t, "demo")
}

func TestAGuestThatRebootsPutsItsMediumIntoForce(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	if err := h.inventory.UpdateRecord("demo", func(r *inventory.Record) { r.AtBoot = []string{machine.StaticIPFile} }); err != nil {
		t.Fatal(err)
	}
	h.waits(t, "demo", "staticIp")
	st, err := h.fake.Status(background, "demo")
	if err != nil {
		t.Fatal(err)
	}
	h.report(t, h.fake, backends.Event{Kind: backends.Rebooted, Status: st})
	h.until(t, "demo", "its address in force", func(v VM) bool { return len(v.NextStart) == 0 })
}

func TestEachIdentityFileIsASetting(t *testing.T) {
	for file := range machine.FileDigests(machine.Machine{}) {
		if len(settingsOf([]string{file})) != 1 {
			t.Errorf("%s has no name for people", file)
		}
	}
	if got := settingsOf([]string{machine.AdminKeysFile, machine.TCPPortsFile, machine.UserKeysFile}); !slices.Equal(got, []string{"authorizedKeys", "tcpPorts"}) {
		t.Errorf("%q", got)
	}
}
