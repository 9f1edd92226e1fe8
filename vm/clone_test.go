package vm

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/fake"
	"github.com/nixvm/nixvm/internal/problem"
)

// off makes a VM that is off, with the snapshot s1 of "precious" and "today" on its disk.
func (h house) off(t *testing.T, name string) {
	t.Helper()
	h.create(t, name)
	op, err := h.Stop(background, name, 0, "t")
	h.succeed(t, op, err)
	if err := h.fake.Write(name, "precious"); err != nil {
		t.Fatal(err)
	}
	op, err = h.CreateSnapshot(background, name, "s1", "", "t")
	h.succeed(t, op, err)
	if err := h.fake.Write(name, "today"); err != nil {
		t.Fatal(err)
	}
}

func TestACloneIsAMachineOfItsOwn(t *testing.T) {
	home := t.TempDir()
	h := open(t, home, images{}, nil, nil)
	h.off(t, "demo")
	source := tree(t, filepath.Join(h.layout.Machines(), "demo"))
	op, err := h.Clone(background, api.CloneParams{Name: "demo", NewName: "copy", MemoryMiB: new(4096)})
	op = h.succeed(t, op, err)
	if op.Machine != "copy" || op.Source != "demo" || op.Subject() != "demo to copy" || len(op.Warnings) > 0 {
		t.Errorf("the operation is %+v", op)
	}
	v, err := h.Get("copy")
	if err != nil || v.State != backends.Running || !v.Ready || v.SSHHost != "copy" || v.MemoryMiB != 4096 {
		t.Fatalf("the clone is %+v, %v", v, err)
	}
	if err := h.fake.Write("copy", "of the copy"); err != nil {
		t.Fatal(err)
	}
	if got, _ := h.fake.Content("demo"); got != "today" {
		t.Errorf("a write to the clone changes the source: %q", got)
	}
	if list, err := h.Snapshots(background, "copy"); err != nil || len(list) > 0 {
		t.Errorf("the clone has the snapshots %+v, %v", list, err)
	}
	if v, _ = h.Get("demo"); v.State != backends.Stopped || v.Operation != nil || tree(t, filepath.Join(h.layout.Machines(), "demo")) != source {
		t.Errorf("the source is changed: %+v", v)
	}
	if of, at := h.recordOf("demo").Generation, h.recordOf("copy").Generation; at <= of {
		t.Errorf("the disk remembers generation %d of the identity, the clone's medium has %d: the guest would keep the source's", of, at)
	}
	op, err = h.Destroy(background, "copy", "copy", "t")
	h.succeed(t, op, err)
	if _, err := h.Get("copy"); err == nil {
		t.Error("destroy leaves the directory that clone made")
	}
}

func TestACloneOfASnapshotBeginsThere(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.off(t, "demo")
	op, err := h.Clone(background, api.CloneParams{Name: "demo", NewName: "copy", Snapshot: "s1", DiskBytes: new(int64(64 << 30)), NoStart: true})
	h.succeed(t, op, err)
	if got, _ := h.fake.Content("copy"); got != "precious" {
		t.Errorf("the clone begins with %q", got)
	}
	if v, _ := h.Get("copy"); v.State != backends.Stopped || v.DiskBytes != 64<<30 {
		t.Errorf("the clone is %+v", v)
	}
}

func TestACloneSaysWhatItDoesNotGet(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.off(t, "demo")
	dir := filepath.Join(h.layout.Machines(), "demo")
	for file, text := range map[string]string{"static_ip": "address=192.168.7.5/24\n", "vmid": "104\n", "pci_devices": "0000:01:00\n"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h.inventory.Reload("demo")
	if err := h.fake.Crash("demo", "the power went"); err != nil {
		t.Fatal(err)
	}
	op, err := h.Clone(background, api.CloneParams{Name: "demo", NewName: "copy"})
	said := strings.Join(h.succeed(t, op, err).Warnings, "\n")
	for _, want := range []string{"crash-consistent", "static address 192.168.7.5", "VM number", "PCI devices"} {
		if !strings.Contains(said, want) {
			t.Errorf("the warnings do not name %q: %q", want, said)
		}
	}
	if m, err := h.machines.Read("copy"); err != nil || m.StaticIP != nil || m.VMID != 0 || len(m.PCIDevices) > 0 {
		t.Errorf("the clone is %+v, %v", m, err)
	}
}

// cloneless is a backend that cannot clone, and wholeOnly one that clones no snapshots.
type cloneless struct{ backends.Backend }

func (cloneless) Offers(optional any) bool {
	_, clones := optional.(*backends.Cloner)
	return !clones
}

func (c cloneless) Unwrap() backends.Backend { return c.Backend }

type wholeOnly struct{ *fake.Backend }

func (wholeOnly) ClonesSnapshots() bool { return false }

func TestACloneThatIsRefusedLeavesNothing(t *testing.T) {
	home := t.TempDir()
	h := open(t, home, images{}, nil, nil)
	h.off(t, "demo")
	h.create(t, "runs")
	if err := os.Mkdir(filepath.Join(h.layout.Machines(), "declared"), 0o700); err != nil {
		t.Fatal(err)
	}
	before := tree(t, home)
	for what, c := range map[string]struct {
		code problem.Code
		req  api.CloneParams
	}{
		"a name that is no name":     {problem.MachineNameInvalid, api.CloneParams{Name: "demo", NewName: "../x"}},
		"a source that is no name":   {problem.MachineNameInvalid, api.CloneParams{Name: "-rf", NewName: "copy"}},
		"a source that is not there": {problem.MachineNotFound, api.CloneParams{Name: "nobody", NewName: "copy"}},
		"a name that is taken":       {problem.MachineExists, api.CloneParams{Name: "demo", NewName: "runs"}},
		"a name that is declared":    {problem.MachineExists, api.CloneParams{Name: "demo", NewName: "declared"}},
		"its own name":               {problem.MachineExists, api.CloneParams{Name: "demo", NewName: "demo"}},
		"an SSH name that is taken":  {problem.SSHNameTaken, api.CloneParams{Name: "demo", NewName: "demo-admin"}},
		"a snapshot that is not":     {problem.SnapshotNotFound, api.CloneParams{Name: "demo", NewName: "copy", Snapshot: "s2"}},
		"a disk that shrinks":        {problem.SizeInvalid, api.CloneParams{Name: "demo", NewName: "copy", DiskBytes: new(int64(1 << 30))}},
		"memory for nothing":         {problem.MachineInvalid, api.CloneParams{Name: "demo", NewName: "copy", MemoryMiB: new(1)}},
	} {
		t.Run(what, func(t *testing.T) {
			_, err := h.Clone(background, c.req)
			wantProblem(t, err, c.code)
			if after := tree(t, home); after != before {
				t.Errorf("something was left:\n%s\nbefore:\n%s", after, before)
			}
		})
	}
	h.backends["test"] = cloneless{h.fake}
	_, err := h.Clone(background, api.CloneParams{Name: "demo", NewName: "copy"})
	wantProblem(t, err, problem.Unsupported)
	h.backends["test"] = wholeOnly{h.fake}
	_, err = h.Clone(background, api.CloneParams{Name: "demo", NewName: "copy", Snapshot: "s1"})
	wantProblem(t, err, problem.Unsupported)
	_, err = h.Clone(background, api.CloneParams{Name: "runs", NewName: "copy"})
	wantProblem(t, err, problem.VMRunning)
}

func TestACloneThatFailsOrIsCancelledLeavesNothing(t *testing.T) {
	failing, reached := "", make(chan struct{})
	home := t.TempDir()
	h := open(t, home, images{}, func(method, name string) error {
		switch {
		case name != "copy" || method != failing:
			return nil
		case method == "clone": // cancelled in the middle
			reached <- struct{}{}
			<-reached
			return context.Canceled
		}
		return problem.New(problem.DiskFull, "no space left").WithHint("free some")
	}, nil)
	h.off(t, "demo")
	before := tree(t, home)
	for method, want := range map[string]api.OperationState{"start": api.OpFailed, "clone": api.OpCancelled} {
		failing = method
		op, err := h.Clone(background, api.CloneParams{Name: "demo", NewName: "copy"})
		if err != nil {
			t.Fatal(err)
		}
		if method == "clone" {
			<-reached
			if err := h.Cancel(op.ID); err != nil {
				t.Fatal(err)
			}
			reached <- struct{}{}
		}
		if op = h.do(t, op, nil); op.State != want {
			t.Errorf("%s: the clone %s: %v", method, op.State, op.Problem)
		}
		if after := tree(t, home); after != before {
			t.Errorf("%s: something was left:\n%s\nbefore:\n%s", method, after, before)
		}
		if v, err := h.Get("demo"); err != nil || v.Operation != nil {
			t.Errorf("%s: the source is %+v, %v", method, v, err)
		}
	}
}

func TestASourceIsBusyUntilItsDiskIsCopied(t *testing.T) {
	copying, booting, proceed := make(chan struct{}), make(chan struct{}), make(chan struct{})
	h := open(t, t.TempDir(), images{}, func(method, name string) error {
		if name == "copy" && method == "clone" {
			close(copying)
			<-proceed
		}
		if name == "copy" && method == "start" {
			close(booting)
			<-proceed
		}
		return nil
	}, nil)
	h.off(t, "demo")
	op, err := h.Clone(background, api.CloneParams{Name: "demo", NewName: "copy"})
	if err != nil {
		t.Fatal(err)
	}
	<-copying
	_, err = h.Start(background, "demo", "t")
	wantProblem(t, err, problem.VMBusy)
	if !strings.Contains(err.Error(), "clone to copy") || !strings.Contains(err.Error(), op.ID) {
		t.Errorf("it does not say what keeps it busy: %v", err)
	}
	if v, _ := h.Get("demo"); v.Operation == nil || v.Operation.ID != op.ID {
		t.Errorf("the source does not show the operation: %+v", v)
	}
	_, err = h.Clone(background, api.CloneParams{Name: "demo", NewName: "other"})
	wantProblem(t, err, problem.VMBusy)
	wantProblem(t, h.DeleteMachine(background, "copy", "copy"), problem.VMBusy)
	connected := make(chan error, 1)
	go func() { // a connection waits for the copy, and not for the boot of the clone
		_, err := h.Endpoint(background, api.EndpointParams{Host: "demo", Start: true})
		connected <- err
	}()
	proceed <- struct{}{}
	<-booting
	if err := <-connected; err != nil {
		t.Error(err)
	}
	proceed <- struct{}{}
	h.succeed(t, op, nil)
}

func TestACloneThatCannotBeUndoneWaitsForAChoice(t *testing.T) {
	home, f := shortDir(t), &faults{}
	h := openFaulty(t, home, f)
	h.off(t, "demo")
	f.set(true, "start", "destroy")
	op, err := h.Clone(background, api.CloneParams{Name: "demo", NewName: "copy"})
	id := wantUnresolved(t, *h, op, err).ID
	f.set(false, "start", "destroy")
	*h = h.restart(t, home, f)
	if v, err := h.Get("demo"); err != nil || v.Operation != nil || len(v.Unresolved) > 0 {
		t.Errorf("the source is %+v, %v", v, err)
	}
	op, err = h.Resolve(background, id, api.ActionUndo, "copy", "t")
	h.succeed(t, op, err)
	wantNoJournal(t, *h)
	if list := h.List(); len(list) != 1 || list[0].Name != "demo" {
		t.Errorf("left: %+v", list)
	}
}

// A machine is edited while its disk is copied: the edit shows when that is over.
func TestAnEditDuringACloneShows(t *testing.T) {
	var h house
	h = open(t, t.TempDir(), images{}, func(method, _ string) error {
		if method == "clone" {
			return os.WriteFile(filepath.Join(h.layout.Machines(), "demo", "memory"), []byte("3072\n"), 0o600)
		}
		return nil
	}, nil)
	h.off(t, "demo")
	check(t, h.machineDirs.Close()) // its event may come after the clone, and would be no help
	op, err := h.Clone(background, api.CloneParams{Name: "demo", NewName: "copy", NoStart: true})
	h.succeed(t, op, err)
	if v, err := h.Get("demo"); err != nil || v.MemoryMiB != 3072 {
		t.Errorf("the source has %d MiB, %v", v.MemoryMiB, err)
	}
}
