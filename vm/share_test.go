package vm

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
)

func TestAVMOnABridgeIsShared(t *testing.T) {
	h := open(t, t.TempDir(), applies, nil, nil)
	h.create(t, "demo")
	h.mu.Lock()
	h.backends["test"] = bridged{h.fake}
	h.mu.Unlock()
	_, err := h.Share(background, "demo", []string{deskKey}, "t")
	if !problem.HasCode(err, problem.Unsupported) || strings.Contains(h.fileOf(t, "demo", machine.AdminKeysFile), deskKey) {
		t.Errorf("without a bridge: %v", err)
	}
	if _, err := h.Configure(background, api.ConfigureParams{Name: "demo", Network: new("bridge:br0")}, "t"); err != nil {
		t.Fatal(err)
	}
	// It runs, and is not on its bridge yet.
	if _, err := h.Share(background, "demo", nil, "t"); !problem.HasCode(err, problem.VMNotReady) {
		t.Errorf("before its next start: %v", err)
	}
	h.byHand(t, "demo", machine.StaticIPFile, "address=192.168.7.10/24\n")
	shared, err := h.Share(background, "demo", []string{deskKey}, "t")
	if err != nil {
		t.Fatal(err)
	}
	if shared.Address != "192.168.7.10:22" || shared.Warning != "" || !strings.Contains(shared.Config, "HostName 192.168.7.10\n") || !strings.Contains(shared.KnownHost, "ssh-ed25519") {
		t.Errorf("%+v", shared)
	}
	if shared.VM.Operation == nil {
		t.Fatal("the running guest is not given the key")
	}
	h.do(t, *shared.VM.Operation, nil)
	if !strings.Contains(h.medium(t, "demo"), deskKey) {
		t.Error("the guest does not have it")
	}
	if _, err := h.Share(background, "demo", []string{"no key"}, "t"); !problem.HasCode(err, problem.MachineInvalid) {
		t.Errorf("what is no key: %v", err)
	}
}

func TestAMutableGuestOwnsItsKeys(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	op, err := h.Create(background, api.CreateParams{Name: "demo", Mode: "mutable", Image: "trial"})
	h.succeed(t, op, err)
	for file, text := range map[string]string{machine.NetworkFile: "bridge:br0\n", machine.StaticIPFile: "address=192.168.7.10/24\n"} {
		if err := os.WriteFile(filepath.Join(h.layout.Machines(), "demo", file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h.inventory.Reload("demo")
	if _, err := h.Share(background, "demo", []string{deskKey}, "t"); !problem.HasCode(err, problem.Unsupported) || !strings.Contains(problem.From(err).Hint, "ssh demo-admin sudo tee") {
		t.Errorf("%v", err)
	}
	if s, err := h.Share(background, "demo", nil, "t"); err != nil || s.Config == "" {
		t.Errorf("without a key: %+v, %v", s, err)
	}
}
