package rpc

import (
	"slices"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/vm"
)

// allVerbs are those of package vm, in its order.
var allVerbs = []api.Verb{
	{Key: string(vm.VerbCreate), Method: api.MethodVMCreate, Title: "Create", Operation: true, Needs: "a declared machine without a VM"},
	{Key: string(vm.VerbAttach), Method: api.MethodAttach, Title: "Attach", Needs: "a machine that has a VM"},
	{Key: string(vm.VerbPull), Method: api.MethodAgentPull, Title: "Pull Branch", Operation: true, Needs: "a running VM"},
	{Key: string(vm.VerbConsole), Method: api.MethodVMConsole, Title: "Open Serial Console", Needs: "a running VM, on a backend with serial consoles"},
	{Key: string(vm.VerbStart), Method: api.MethodVMStart, Title: "Start", Operation: true, Needs: "a stopped VM"},
	{Key: string(vm.VerbResume), Method: api.MethodVMResume, Title: "Resume", Operation: true, Needs: "a suspended VM"},
	{Key: string(vm.VerbStop), Method: api.MethodVMStop, Title: "Stop", Operation: true, Needs: "a running VM"},
	{Key: string(vm.VerbReboot), Method: api.MethodVMReboot, Title: "Reboot", Operation: true, Needs: "a running VM"},
	{Key: string(vm.VerbSuspend), Method: api.MethodVMSuspend, Title: "Suspend", Operation: true, Needs: "a running VM, on a backend that can suspend"},
	{Key: string(vm.VerbSnapshot), Method: api.MethodSnapshotCreate, Title: "Take Snapshot", Operation: true, Needs: "a machine that has a VM"},
	{Key: string(vm.VerbRestoreSnapshot), Method: api.MethodSnapshotRestore, Title: "Restore Snapshot", Operation: true, Needs: "a machine that has a VM"},
	{Key: string(vm.VerbDeleteSnapshot), Method: api.MethodSnapshotDelete, Title: "Delete Snapshot", Operation: true, Needs: "a machine that has a VM"},
	{Key: string(vm.VerbBackup), Method: api.MethodBackupCreate, Title: "Back Up", Operation: true, Needs: "a machine that has a VM"},
	{Key: string(vm.VerbRestoreBackup), Method: api.MethodBackupRestore, Title: "Restore Backup", Operation: true, Needs: "a machine that has a VM, on a backend whose disks are files on this host"},
	{Key: string(vm.VerbClone), Method: api.MethodVMClone, Title: "Clone", Operation: true, Needs: "a machine that has a VM; where the backend cannot clone running VMs, stop it first"},
	{Key: string(vm.VerbCloneSnapshot), Method: api.MethodVMClone, Title: "Clone Snapshot", Operation: true, Needs: "a machine that has a VM, on a backend whose disks are files on this host"},
	{Key: string(vm.VerbMigrate), Method: api.MethodVMMigrate, Title: "Migrate", Operation: true, Needs: "a running or stopped VM, and two backends of the same type that support migration, or a backend with nodes"},
	{Key: string(vm.VerbUpgrade), Method: api.MethodVMUpgrade, Title: "Upgrade", Operation: true, Needs: "an immutable or semi-mutable VM, running or stopped"},
	{Key: string(vm.VerbRollback), Method: api.MethodVMRollback, Title: "Roll Back", Operation: true, Needs: "a VM that has been upgraded"},
	{Key: string(vm.VerbRecreate), Method: api.MethodVMRecreate, Title: "Recreate", Operation: true, Needs: "a running or stopped VM, on a backend whose disks are files on this host"},
	{Key: string(vm.VerbRename), Method: api.MethodVMRename, Title: "Rename", Operation: true, Needs: "a running or stopped VM, on a backend that can rename VMs; or a machine without a VM"},
	{Key: string(vm.VerbConfigure), Method: api.MethodMachineConfigure, Title: "Configure", Needs: "a machine whose files can be read"},
	{Key: string(vm.VerbAutostart), Method: api.MethodMachineConfigure, Title: "Start with the Host", Needs: "a backend that starts with its host, such as the system libvirt"},
	{Key: string(vm.VerbPasswd), Method: api.MethodMachineConfigure, Title: "Set Root Password", Needs: "an immutable or semi-mutable machine: a mutable guest owns its passwords"},
	{Key: string(vm.VerbForward), Method: api.MethodForwardAdd, Title: "Add Forward", Needs: "a machine that has a VM"},
	{Key: string(vm.VerbShare), Method: api.MethodSSHShare, Title: "Share", Needs: "a running VM on a bridge"},
	{Key: string(vm.VerbCancel), Method: api.MethodOperationCancel, Title: "Cancel", Needs: "a machine with a running operation"},
	{Key: string(vm.VerbKill), Method: api.MethodVMKill, Title: "Kill", Operation: true, Needs: "a running or suspended VM"},
	{Key: string(vm.VerbDestroy), Method: api.MethodVMDestroy, Title: "Destroy", Operation: true, Needs: "a machine that has a VM"},
	{Key: string(vm.VerbPurge), Method: api.MethodVMPurge, Title: "Purge", Operation: true},
	{Key: string(vm.VerbDelete), Method: api.MethodMachineDelete, Title: "Delete Machine", Needs: "a machine without a VM"},
}

// Verbs returns all verbs, in the order in which to offer them.
func Verbs() []api.Verb { return slices.Clone(allVerbs) }
