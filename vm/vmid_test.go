package vm

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/fake"
	"github.com/nixvm/nixvm/internal/problem"
)

// numbered is a house whose backends number their VMs.
func numbered(t *testing.T) house {
	t.Helper()
	home := t.TempDir()
	makeRemote(t, home)
	return open(t, home, images{}, nil, nil)
}

// number is what clients see of the number of a VM; its backend says the same.
func (h house) number(t *testing.T, name string) int {
	t.Helper()
	v, err := h.Get(name)
	if err != nil {
		t.Fatal(err)
	}
	a, err := h.fake.Allocated(background, h.ref(name))
	if err != nil || a.VMID != v.VMID || v.VMID == 0 {
		t.Errorf("%s has the number %d, and on its backend %d, %v", name, v.VMID, a.VMID, err)
	}
	return v.VMID
}

// checkNumbers: each VM of a backend has a record with its number, and there is no other.
func checkNumbers(t *testing.T, h house) {
	t.Helper()
	for _, b := range []*fake.Backend{h.fake, h.other} {
		if _, ok := backends.As[backends.Allocator](b); !ok {
			continue
		}
		list, err := b.List(background)
		if err != nil {
			t.Fatal(err)
		}
		for _, st := range list {
			a, err := b.Allocated(background, backends.Ref{Name: st.Name, UUID: st.UUID})
			if r := h.recordOf(st.Name); err != nil || r == nil || r.VMID != a.VMID || r.VMID == 0 {
				t.Errorf("%s has the number %d, %v; its record is %+v", st.Name, a.VMID, err, r)
			}
		}
	}
}

func TestAVMKeepsTheNumberThatItsBackendChose(t *testing.T) {
	h := numbered(t)
	h.create(t, "first")
	h.create(t, "demo")
	chosen := h.number(t, "demo")
	if first := h.number(t, "first"); first == chosen {
		t.Errorf("both have the number %d", first)
	}
	if m, err := h.machines.Read("demo"); err != nil || m.VMID != 0 {
		t.Errorf("the directory requests the number %d, %v", m.VMID, err)
	}
	op, err := h.Stop(background, "demo", 0, "")
	h.succeed(t, op, err)
	op, err = h.Clone(background, api.CloneParams{Name: "demo", NewName: "copy", NoStart: true})
	h.succeed(t, op, err)
	if h.number(t, "copy") == chosen {
		t.Error("the clone has the number of its source")
	}
	op, err = h.Recreate(background, recreateParams("demo"))
	h.succeed(t, op, err)
	if got := h.number(t, "demo"); got != chosen {
		t.Errorf("made anew, it has the number %d, before %d", got, chosen)
	}

	// Another number takes effect when the VM is made.
	h.setting(t, "demo", "vmid", "150\n")
	h.inventory.Reload("demo")
	if v, err := h.Get("demo"); err != nil || v.VMID != chosen || !slices.Contains(v.Pending, "vmid") {
		t.Errorf("with another number in its file: %d, pending %v, %v", v.VMID, v.Pending, err)
	}
	op, err = h.Start(background, "demo", "")
	h.succeed(t, op, err)
	if got := h.number(t, "demo"); got != chosen {
		t.Errorf("started, it has the number %d, before %d", got, chosen)
	}
	op, err = h.Recreate(background, recreateParams("demo"))
	h.succeed(t, op, err)
	if v, err := h.Get("demo"); h.number(t, "demo") != 150 || err != nil || slices.Contains(v.Pending, "vmid") {
		t.Errorf("made anew, it has the number %d, pending %v", v.VMID, v.Pending)
	}
}

func TestANumberInUseIsRefusedBeforeAnythingIsMade(t *testing.T) {
	h := numbered(t)
	h.create(t, "first")
	h.setting(t, "demo", "image", "trial\n")
	for number, code := range map[string]problem.Code{"100": problem.VMExists, "200": problem.MachineInvalid} {
		h.setting(t, "demo", "vmid", number+"\n")
		_, err := h.Create(background, api.CreateParams{Name: "demo"})
		if p := problem.From(err); err == nil || p.Code != code || !strings.Contains(p.Message, "demo/vmid: ") || p.Hint == "" {
			t.Errorf("create with the number %s: %v", number, err)
		}
	}
	h.setting(t, "demo", "vmid", "104\n")
	h.create(t, "demo")
	if got := h.number(t, "demo"); got != 104 {
		t.Errorf("it has the number %d, want 104", got)
	}
	h.setting(t, "demo", "vmid", "100\n")
	h.inventory.Reload("demo")
	_, err := h.Recreate(background, recreateParams("demo"))
	if p := problem.From(err); err == nil || p.Code != problem.VMExists || !strings.Contains(p.Message, "demo/vmid: ") {
		t.Errorf("recreate with a number in use: %v", err)
	}
}

// A machine that is restored has the number that it requests, if that is still free.
func TestARestoredMachineHasItsNumberIfItIsFree(t *testing.T) {
	h := numbered(t)
	h.setting(t, "demo", "image", "trial\n")
	h.setting(t, "demo", "vmid", "117\n")
	h.create(t, "demo")
	op, err := h.Backup(background, api.BackupCreateParams{Name: "demo"})
	op = h.succeed(t, op, err)
	gone, err := h.Destroy(background, "demo", "demo", "")
	h.succeed(t, gone, err)
	if err := h.machines.Delete("demo"); err != nil {
		t.Fatal(err)
	}
	h.inventory.Reload("demo")
	made, err := h.RestoreBackup(background, api.BackupRestoreParams{Backup: op.Backup, NoStart: true})
	h.succeed(t, made, err)
	if got := h.number(t, "demo"); got != 117 {
		t.Errorf("restored, it has the number %d, want 117", got)
	}
	made, err = h.RestoreBackup(background, api.BackupRestoreParams{Backup: op.Backup, Name: "other", NoStart: true})
	h.succeed(t, made, err)
	if got := h.number(t, "other"); got == 117 {
		t.Error("restored under another name, it has the number of the first")
	}

	gone, err = h.Destroy(background, "demo", "demo", "")
	h.succeed(t, gone, err)
	h.setting(t, "next", "image", "trial\n")
	h.setting(t, "next", "vmid", "117\n")
	h.create(t, "next")
	_, err = h.RestoreBackup(background, api.BackupRestoreParams{Backup: op.Backup, NoStart: true})
	if p := problem.From(err); err == nil || p.Code != problem.VMExists || !strings.Contains(p.Hint, "--as") {
		t.Errorf("restore while its number is in use: %v", err)
	}
}

// The number is found again where the record was lost.
func TestARecordThatIsMadeAgainHasTheNumberOfTheVM(t *testing.T) {
	home := t.TempDir()
	makeRemote(t, home)
	h, err := openHouse(home, images{}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	h.setting(t, "demo", "image", "trial\n")
	h.setting(t, "demo", "vmid", "117\n")
	h.create(t, "demo")
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{h.layout.Record("demo"), filepath.Join(h.layout.Machines(), "demo", "vmid")} {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	h = open(t, home, images{}, nil, nil)
	if got := h.number(t, "demo"); got != 117 {
		t.Errorf("it has the number %d, want 117", got)
	}
}
