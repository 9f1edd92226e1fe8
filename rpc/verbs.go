package rpc

import (
	"slices"

	"github.com/nixvm/nixvm/vm"
)

// Verb is something that can be done with a machine. Whether it can be done with
// one now is among the actions of that machine.
type Verb struct {
	// Key of the verb, e.g. "start": what actions of machines and backends hold.
	Key string `json:"key"`
	// Method that does it, with the name of the machine as "name".
	Method string `json:"method"`
	// Title for people, e.g. "Take Snapshot".
	Title string `json:"title"`
	// Operation: the method begins an operation.
	Operation bool `json:"operation,omitempty"`
	// Needs says what it takes, for people who look for it where it is not offered.
	Needs string `json:"needs,omitempty"`
}

// allVerbs are those of package vm, in its order.
var allVerbs = []Verb{
	{Key: string(vm.VerbCreate), Method: MethodVMCreate, Title: "Create", Operation: true, Needs: "a machine that is declared and has no VM"},
	{Key: string(vm.VerbAttach), Method: MethodAttach, Title: "Attach", Needs: "a machine that has a VM"},
	{Key: string(vm.VerbConsole), Method: MethodVMConsole, Title: "Open Serial Console", Needs: "a VM that runs, on a backend with serial consoles"},
	{Key: string(vm.VerbStart), Method: MethodVMStart, Title: "Start", Operation: true, Needs: "a VM that is off"},
	{Key: string(vm.VerbResume), Method: MethodVMResume, Title: "Resume", Operation: true, Needs: "a suspended VM"},
	{Key: string(vm.VerbStop), Method: MethodVMStop, Title: "Stop", Operation: true, Needs: "a VM that runs"},
	{Key: string(vm.VerbReboot), Method: MethodVMReboot, Title: "Reboot", Operation: true, Needs: "a VM that runs"},
	{Key: string(vm.VerbSuspend), Method: MethodVMSuspend, Title: "Suspend", Operation: true, Needs: "a VM that runs, on a backend that can suspend"},
	{Key: string(vm.VerbSnapshot), Method: MethodSnapshotCreate, Title: "Take Snapshot", Operation: true, Needs: "a machine that has a VM"},
	{Key: string(vm.VerbRestoreSnapshot), Method: MethodSnapshotRestore, Title: "Restore Snapshot", Operation: true, Needs: "a machine that has a VM"},
	{Key: string(vm.VerbDeleteSnapshot), Method: MethodSnapshotDelete, Title: "Delete Snapshot", Operation: true, Needs: "a machine that has a VM"},
	{Key: string(vm.VerbClone), Method: MethodVMClone, Title: "Clone", Operation: true, Needs: "a VM is cloned while it is off: stop it first"},
	{Key: string(vm.VerbCloneSnapshot), Method: MethodVMClone, Title: "Clone Snapshot", Operation: true, Needs: "a VM that is off, on a backend whose disks are files of this host"},
	{Key: string(vm.VerbMigrate), Method: MethodVMMigrate, Title: "Migrate", Operation: true, Needs: "it takes two backends of one kind that can both migrate, and a VM that runs or is off"},
	{Key: string(vm.VerbConfigure), Method: MethodMachineConfigure, Title: "Configure", Needs: "a machine whose files can be read"},
	{Key: string(vm.VerbAutostart), Method: MethodMachineConfigure, Title: "Start with the Host", Needs: "a backend that starts with its host can do it, such as the libvirt of a system"},
	{Key: string(vm.VerbForward), Method: MethodForwardAdd, Title: "Add Forward", Needs: "a machine that has a VM"},
	{Key: string(vm.VerbCancel), Method: MethodOperationCancel, Title: "Cancel", Needs: "a machine on which an operation runs"},
	{Key: string(vm.VerbKill), Method: MethodVMKill, Title: "Kill", Operation: true, Needs: "a VM that runs or is suspended"},
	{Key: string(vm.VerbDestroy), Method: MethodVMDestroy, Title: "Destroy", Operation: true, Needs: "a machine that has a VM"},
	{Key: string(vm.VerbPurge), Method: MethodVMPurge, Title: "Purge", Operation: true},
	{Key: string(vm.VerbDelete), Method: MethodMachineDelete, Title: "Delete Machine", Needs: "a machine without a VM"},
}

// Verbs returns all verbs, in the order in which to offer them.
func Verbs() []Verb { return slices.Clone(allVerbs) }

// keysOf makes a list of verbs one of strings, [] for none.
func keysOf(list []vm.Verb) []string {
	keys := make([]string, 0, len(list))
	for _, v := range list {
		keys = append(keys, string(v))
	}
	return keys
}
