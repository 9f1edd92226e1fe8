package vm

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// verbHouse has a machine in each state, named after its phase.
func verbHouse(t *testing.T) house {
	t.Helper()
	h := open(t, t.TempDir(), images{}, nil, nil)
	for _, name := range []string{"ready", "stopped", "suspended", "crashed"} {
		h.create(t, name)
	}
	op, err := h.Stop(background, "stopped", 0, "t")
	h.succeed(t, op, err)
	op, err = h.Suspend(background, "suspended", "t")
	h.succeed(t, op, err)
	if err := h.fake.Crash("crashed", "a test"); err != nil {
		t.Fatal(err)
	}
	if err := h.inventory.Refresh(background, h.fake, "crashed"); err != nil { // its event may be on its way
		t.Fatal(err)
	}
	for name, memory := range map[string]string{"absent": "2048\n", "broken": "much\n"} {
		dir := filepath.Join(h.layout.Machines(), name)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for file, content := range map[string]string{"memory": memory, "profile": "core\n", "image": "trial\n"} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		h.inventory.Reload(name)
	}
	return h
}

func TestEachPhaseOffersWhatItsBackendCanDo(t *testing.T) {
	h := verbHouse(t)
	ready := []Verb{VerbAttach, VerbPull, VerbStop, VerbReboot, VerbSuspend, VerbSnapshot, VerbRestoreSnapshot, VerbDeleteSnapshot, VerbBackup, VerbRestoreBackup, VerbClone, VerbCloneSnapshot, VerbMigrate, VerbUpgrade, VerbRecreate, VerbRename, VerbConfigure, VerbAutostart, VerbPasswd, VerbForward, VerbKill, VerbDestroy, VerbPurge}
	for phase, want := range map[Phase][]Verb{
		PhaseAbsent:    {VerbCreate, VerbRename, VerbConfigure, VerbAutostart, VerbPasswd, VerbPurge, VerbDelete},
		PhaseStopped:   {VerbAttach, VerbStart, VerbSnapshot, VerbRestoreSnapshot, VerbDeleteSnapshot, VerbBackup, VerbRestoreBackup, VerbClone, VerbCloneSnapshot, VerbMigrate, VerbUpgrade, VerbRecreate, VerbRename, VerbConfigure, VerbAutostart, VerbPasswd, VerbForward, VerbDestroy, VerbPurge},
		PhaseReady:     ready,
		PhaseSuspended: {VerbAttach, VerbResume, VerbSnapshot, VerbRestoreSnapshot, VerbDeleteSnapshot, VerbBackup, VerbRestoreBackup, VerbClone, VerbCloneSnapshot, VerbConfigure, VerbAutostart, VerbPasswd, VerbForward, VerbKill, VerbDestroy, VerbPurge},
		PhaseCrashed:   {VerbAttach, VerbStart, VerbSnapshot, VerbRestoreSnapshot, VerbDeleteSnapshot, VerbBackup, VerbRestoreBackup, VerbClone, VerbCloneSnapshot, VerbUpgrade, VerbRecreate, VerbRename, VerbConfigure, VerbAutostart, VerbPasswd, VerbForward, VerbDestroy, VerbPurge},
		PhaseBroken:    {VerbPurge},
	} {
		v, err := h.Get(string(phase))
		if err != nil {
			t.Fatal(err)
		}
		if v.Phase() != phase {
			t.Errorf("%s is %s", v.Name, v.Phase())
		}
		if got := v.Verbs(h.Backends()); !slices.Equal(got, want) {
			t.Errorf("%s offers\n%v, want\n%v", phase, got, want)
		}
	}
	v, _ := h.Get("ready")
	v.Ready = false
	if v.Phase() != PhaseBooting || !slices.Equal(v.Verbs(h.Backends()), ready) {
		t.Errorf("while it boots: %s, %v", v.Phase(), v.Verbs(h.Backends()))
	}
}

func TestOnlyAVMOnABridgeCanBeShared(t *testing.T) {
	for network, want := range map[string]bool{"nat": false, "bridge:br0": true} {
		v := VM{Machine: api.Machine{State: backends.Running, Network: network}}
		if got := slices.Contains(v.Verbs(nil), VerbShare); got != want {
			t.Errorf("on %s: %v", network, got)
		}
	}
}

// What an operation keeps from being done is not offered while it runs.
func TestABusyMachineOffersWhatIsNotRefused(t *testing.T) {
	v := VM{Machine: api.Machine{State: backends.Running, Ready: true}, Operation: &api.Operation{State: api.OpRunning}}
	if got, want := v.Verbs(nil), []Verb{VerbAttach, VerbForward, VerbCancel, VerbKill, VerbDestroy, VerbPurge}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestMigrationNeedsAnotherBackendOfTheSameType(t *testing.T) {
	able := backends.Capabilities{Migrate: true}
	list := []api.Backend{{Name: "a", Type: "libvirt", Capabilities: able}, {Name: "b", Type: "libvirt", Capabilities: able}, {Name: "c", Type: "qemu", Capabilities: able}, {Name: "d", Type: "libvirt"}}
	Offer(list)
	for _, b := range list {
		want := map[string][]string{"a": {"b"}, "b": {"a"}}[b.Name]
		if !slices.Equal(b.MigratesTo, want) {
			t.Errorf("%s migrates to %v, want %v", b.Name, b.MigratesTo, want)
		}
		if offers := slices.Contains(b.Actions, string(VerbMigrate)); offers != (want != nil) {
			t.Errorf("%s offers migrate: %t", b.Name, offers)
		}
	}
}

// wrongState are the problems of a request that should not have been offered.
var wrongState = []problem.Code{
	problem.VMNotFound, problem.VMExists, problem.VMNotRunning, problem.VMRunning, problem.Unsupported, problem.MachineBroken, problem.MachineNotFound, problem.VMBusy,
}

// verbCalls is the request behind each verb.
func verbCalls() map[Verb]func(h house, name string) (api.Operation, error) {
	ctx := context.Background()
	plain := func(err error) (api.Operation, error) { return api.Operation{}, err }
	return map[Verb]func(h house, name string) (api.Operation, error){
		VerbCreate: func(h house, n string) (api.Operation, error) { return h.Create(ctx, api.CreateParams{Name: n}) },
		VerbAttach: func(h house, n string) (api.Operation, error) {
			_, err := h.Attach(ctx, api.AttachParams{Name: n})
			return plain(err)
		},
		VerbPull: func(h house, n string) (api.Operation, error) {
			return h.Pull(ctx, api.PullParams{Name: n, Directory: "/"})
		},
		VerbStart:    func(h house, n string) (api.Operation, error) { return h.Start(ctx, n, "t") },
		VerbResume:   func(h house, n string) (api.Operation, error) { return h.Resume(ctx, n, "t") },
		VerbStop:     func(h house, n string) (api.Operation, error) { return h.Stop(ctx, n, 0, "t") },
		VerbReboot:   func(h house, n string) (api.Operation, error) { return h.Reboot(ctx, n, "t") },
		VerbSuspend:  func(h house, n string) (api.Operation, error) { return h.Suspend(ctx, n, "t") },
		VerbSnapshot: func(h house, n string) (api.Operation, error) { return h.CreateSnapshot(ctx, n, "new", "", "t") },
		// Without the snapshot the refusal is of another kind: it is what the machine lacks, not its state.
		VerbRestoreSnapshot: func(h house, n string) (api.Operation, error) { return h.RestoreSnapshot(ctx, n, "none", n, "t") },
		VerbDeleteSnapshot:  func(h house, n string) (api.Operation, error) { return h.DeleteSnapshot(ctx, n, "none", "t") },
		VerbBackup: func(h house, n string) (api.Operation, error) {
			return h.Backup(ctx, api.BackupCreateParams{Name: n})
		},
		VerbRestoreBackup: func(h house, n string) (api.Operation, error) {
			return h.RestoreBackup(ctx, api.BackupRestoreParams{Name: n, Backup: "none", Confirm: n})
		},
		VerbClone: func(h house, n string) (api.Operation, error) {
			return h.Clone(ctx, api.CloneParams{Name: n, NewName: "copy", NoStart: true})
		},
		VerbCloneSnapshot: func(h house, n string) (api.Operation, error) {
			return h.Clone(ctx, api.CloneParams{Name: n, NewName: "copy", Snapshot: "none", NoStart: true})
		},
		VerbMigrate: func(h house, n string) (api.Operation, error) { return h.Migrate(ctx, n, "other", "t") },
		VerbUpgrade: func(h house, n string) (api.Operation, error) { return h.Upgrade(ctx, api.UpgradeParams{Name: n}) },
		// Offered once there is an earlier image: TestRollback.
		VerbRollback: func(h house, n string) (api.Operation, error) { return h.Rollback(ctx, api.RollbackParams{Name: n}) },
		VerbRecreate: func(h house, n string) (api.Operation, error) { return h.Recreate(ctx, recreateParams(n)) },
		VerbRename: func(h house, n string) (api.Operation, error) {
			return h.Rename(ctx, api.RenameParams{Name: n, NewName: n + "-2", Confirm: n})
		},
		VerbConfigure: func(h house, n string) (api.Operation, error) {
			_, err := h.Configure(ctx, api.ConfigureParams{Name: n, VCPUs: new(3)}, "t")
			return plain(err)
		},
		VerbAutostart: func(h house, n string) (api.Operation, error) {
			_, err := h.Configure(ctx, api.ConfigureParams{Name: n, Autostart: new(true)}, "t")
			return plain(err)
		},
		VerbPasswd: func(h house, n string) (api.Operation, error) {
			_, err := h.Configure(ctx, api.ConfigureParams{Name: n, RootPasswordHash: new("*")}, "t")
			return plain(err)
		},
		VerbForward: func(h house, n string) (api.Operation, error) {
			_, err := h.AddForward(ctx, n, "8080 localhost:80")
			return plain(err)
		},
		VerbShare: func(h house, n string) (api.Operation, error) {
			_, err := h.Share(ctx, n, nil, "t")
			return plain(err)
		},
		VerbKill:    func(h house, n string) (api.Operation, error) { return h.Kill(ctx, n, "t") },
		VerbDestroy: func(h house, n string) (api.Operation, error) { return h.Destroy(ctx, n, n, "t") },
		VerbPurge:   func(h house, n string) (api.Operation, error) { return h.Purge(ctx, n, n, "t") },
		VerbDelete:  func(h house, n string) (api.Operation, error) { return plain(h.DeleteMachine(ctx, n, n)) },
	}
}

// tryVerb makes the request behind a verb on each machine that offers it, and
// returns how many did.
func tryVerb(t *testing.T, h house, verb Verb) int {
	t.Helper()
	call, tried := verbCalls()[verb], 0
	for _, v := range h.List() {
		if !slices.Contains(v.Verbs(h.Backends()), verb) {
			continue
		}
		tried++
		op, err := call(h, v.Name)
		if err == nil && op.ID != "" {
			if op, err = h.Wait(background, op.ID); err == nil && op.Problem != nil {
				err = op.Problem
			}
		}
		for _, code := range wrongState {
			if problem.HasCode(err, code) {
				t.Errorf("%s is offered for a machine that is %s, and refused: %v", verb, v.Phase(), err)
			}
		}
	}
	return tried
}

// Each verb that is offered is taken by the daemon. The verbs come after one
// another here; TestLongWhatIsOfferedIsNotRefused tries each on every phase.
func TestWhatIsOfferedIsNotRefused(t *testing.T) {
	h, tried := verbHouse(t), 0
	for _, b := range verbs {
		if b.key == VerbConsole || b.key == VerbCancel {
			continue // the backend of the tests has no console, and nothing runs
		}
		if verbCalls()[b.key] == nil {
			t.Fatalf("%s is not tried", b.key)
		}
		tried += tryVerb(t, h, b.key)
	}
	if tried < 40 {
		t.Errorf("only %d requests were tried", tried)
	}
}
