package vm

import (
	"slices"
	"strings"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/machine"
)

// Phase is where a machine is in its life, in one word for people and programs.
type Phase string

// The phases. They are the states of the VM, except that a running VM is either
// booting or ready, and that a machine without a VM is absent.
const (
	PhaseAbsent    Phase = "absent" // declared only
	PhaseStopped   Phase = "stopped"
	PhaseBooting   Phase = "booting" // it runs; its sshd has not answered since the start
	PhaseReady     Phase = "ready"   // it runs, and its sshd has answered with the pinned key
	PhaseSuspended Phase = "suspended"
	PhaseCrashed   Phase = "crashed"
	PhaseBroken    Phase = "broken"  // a file of the machine directory, or the record, cannot be read
	PhaseUnknown   Phase = "unknown" // the backend cannot be asked
)

// Phase returns the phase of the machine.
func (v VM) Phase() Phase {
	switch {
	case v.State == backends.Running && v.Ready:
		return PhaseReady
	case v.State == backends.Running:
		return PhaseBooting
	case v.State == "":
		return PhaseUnknown
	}
	return Phase(v.State)
}

// Verb is the key of something that can be done with a machine. The verbs of
// the command line have the same names.
type Verb string

// The verbs, in the order in which they are offered.
const (
	VerbCreate          Verb = "create"
	VerbAttach          Verb = "attach"
	VerbPull            Verb = "pull" // a branch in the guest
	VerbConsole         Verb = "console"
	VerbStart           Verb = "start"
	VerbResume          Verb = "resume"
	VerbStop            Verb = "stop"
	VerbReboot          Verb = "reboot"
	VerbSuspend         Verb = "suspend"
	VerbSnapshot        Verb = "snapshot"
	VerbRestoreSnapshot Verb = "restore-snapshot"
	VerbDeleteSnapshot  Verb = "delete-snapshot"
	VerbBackup          Verb = "backup"
	VerbRestoreBackup   Verb = "restore-backup" // to the VM that is there
	VerbClone           Verb = "clone"
	VerbCloneSnapshot   Verb = "clone-snapshot"
	VerbMigrate         Verb = "migrate"
	VerbUpgrade         Verb = "upgrade"
	VerbRollback        Verb = "rollback"
	VerbRecreate        Verb = "recreate"
	VerbRename          Verb = "rename"
	VerbConfigure       Verb = "configure"
	VerbAutostart       Verb = "autostart" // a setting of configure, which needs a capability
	VerbPasswd          Verb = "passwd"    // the same; a mutable guest owns its passwords
	VerbForward         Verb = "forward"
	VerbShare           Verb = "share" // what only a VM on a bridge can do
	VerbCancel          Verb = "cancel"
	VerbKill            Verb = "kill"
	VerbDestroy         Verb = "destroy"
	VerbPurge           Verb = "purge"
	VerbDelete          Verb = "delete" // the declaration of a machine without a VM
)

// verb says when a verb is offered.
type verb struct {
	key Verb
	// fits reports whether the machine is in a state for it.
	fits func(VM) bool
	// able reports whether the backend can do it on such a machine; nil: every backend can.
	able func(VM, backends.Capabilities) bool
	// aside: an operation on the machine does not stand in its way.
	aside bool
}

var verbs = []verb{
	{key: VerbCreate, fits: in(backends.Absent)},
	{key: VerbAttach, fits: hasVM, aside: true},
	{key: VerbPull, fits: in(backends.Running)},
	{key: VerbConsole, fits: vmIn(backends.Running), able: func(_ VM, c backends.Capabilities) bool { return c.Console }, aside: true},
	{key: VerbStart, fits: isOff},
	{key: VerbResume, fits: vmIn(backends.Suspended), able: canSuspend},
	{key: VerbStop, fits: vmIn(backends.Running)},
	{key: VerbReboot, fits: in(backends.Running)},
	{key: VerbSuspend, fits: vmIn(backends.Running), able: canSuspend},
	{key: VerbSnapshot, fits: hasVM, able: func(v VM, c backends.Capabilities) bool {
		return v.vmState() != backends.Running || c.LiveSnapshot
	}},
	{key: VerbRestoreSnapshot, fits: realised},
	{key: VerbDeleteSnapshot, fits: hasVM},
	{key: VerbBackup, fits: realised, able: func(v VM, c backends.Capabilities) bool {
		return c.Export && (v.State != backends.Running && v.State != backends.Suspended || c.LiveSnapshot)
	}},
	{key: VerbRestoreBackup, fits: realised, able: func(_ VM, c backends.Capabilities) bool { return c.RewriteDisk }},
	{key: VerbClone, fits: hasDisk, able: func(v VM, c backends.Capabilities) bool {
		return c.Clone && (isOff(v) || c.CloneSnapshot && c.LiveSnapshot)
	}},
	{key: VerbCloneSnapshot, fits: hasDisk, able: func(_ VM, c backends.Capabilities) bool { return c.CloneSnapshot }},
	{key: VerbMigrate, fits: in(backends.Running, backends.Stopped), able: func(_ VM, c backends.Capabilities) bool { return c.Migrate || c.Nodes }},
	{key: VerbUpgrade, fits: hasImage, able: canUpgrade},
	{key: VerbRollback, fits: func(v VM) bool { return hasImage(v) && v.Returns }, able: canUpgrade},
	{key: VerbRecreate, fits: in(backends.Running, backends.Stopped, backends.Crashed), able: func(_ VM, c backends.Capabilities) bool { return c.Recreate }},
	{key: VerbRename, fits: in(backends.Absent, backends.Running, backends.Stopped, backends.Crashed), able: func(v VM, c backends.Capabilities) bool {
		return v.State == backends.Absent || c.Rename
	}},
	{key: VerbConfigure, fits: readable},
	// A machine that has it may come from a backend that can; it can always be switched off.
	{key: VerbAutostart, fits: readable, able: func(v VM, c backends.Capabilities) bool { return v.Autostart || c.Autostart }},
	{key: VerbPasswd, fits: func(v VM) bool {
		return readable(v) && (v.Mode != string(machine.Mutable) || v.State == backends.Absent)
	}},
	{key: VerbForward, fits: realised, aside: true},
	// One that is off may have no address.
	{key: VerbShare, fits: func(v VM) bool { return v.State == backends.Running && strings.HasPrefix(v.Network, "bridge:") }},
	{key: VerbCancel, fits: func(v VM) bool { return v.busy() }, aside: true},
	// These end what runs on the machine.
	{key: VerbKill, fits: vmIn(backends.Running, backends.Suspended), aside: true},
	{key: VerbDestroy, fits: hasVM, aside: true},
	{key: VerbPurge, fits: func(VM) bool { return true }, aside: true},
	{key: VerbDelete, fits: in(backends.Absent)},
}

func in(states ...backends.State) func(VM) bool {
	return func(v VM) bool { return slices.Contains(states, v.State) }
}

// vmState is the state of the VM, independent of the machine's files.
func (v VM) vmState() backends.State {
	if v.State == backends.Broken && v.VMState != "" {
		return v.VMState
	}
	return v.State
}

// vmIn is in, of what needs the VM and nothing of the machine's files.
func vmIn(states ...backends.State) func(VM) bool {
	return func(v VM) bool { return slices.Contains(states, v.vmState()) }
}

// hasVM is realised, of what needs nothing of the machine's files.
func hasVM(v VM) bool { s := v.vmState(); return s != backends.Absent && s != backends.Broken }

// realised reports whether the machine has a VM.
func realised(v VM) bool { return v.State != backends.Absent && v.State != backends.Broken }

func readable(v VM) bool { return v.State != backends.Broken }

func isOff(v VM) bool { return v.State == backends.Stopped || v.State == backends.Crashed }

// hasDisk reports whether the VM is in a state in which its disk can be copied.
func hasDisk(v VM) bool {
	return isOff(v) || v.State == backends.Running || v.State == backends.Suspended
}

// hasImage reports whether the VM is in a state in which its image can be replaced.
func hasImage(v VM) bool {
	return v.State == backends.Running || v.State == backends.Stopped || v.State == backends.Crashed
}

func canUpgrade(v VM, c backends.Capabilities) bool {
	return c.Upgrade && v.Mode != string(machine.Mutable) && v.VMMode != string(machine.Mutable)
}

func canSuspend(_ VM, c backends.Capabilities) bool { return c.Suspend }

func (v VM) busy() bool { return v.Operation != nil && v.Operation.State == api.OpRunning }

// Wire returns the machine of the protocol, with its phase, its actions and the id of
// its operation, given all configured backends.
func (v VM) Wire(list []api.Backend) api.Machine {
	m := v.Machine
	m.Phase, m.Actions, m.Operation = string(v.Phase()), actionsOf(v.Verbs(list)), ""
	if v.busy() {
		m.Operation = v.Operation.ID
	}
	return m
}

// actionsOf makes a list of verbs one of their keys, [] for none.
func actionsOf(list []Verb) []string {
	keys := make([]string, 0, len(list))
	for _, v := range list {
		keys = append(keys, string(v))
	}
	return keys
}

// Verbs returns what can be done with the machine now, given all configured
// backends. A machine whose backend is not configured is offered what needs no
// capability.
func (v VM) Verbs(list []api.Backend) []Verb {
	var able []Verb
	for _, b := range verbs {
		if b.fits(v) && (b.aside || !v.busy()) && v.backendAble(b, list) {
			able = append(able, b.key)
		}
	}
	return able
}

func (v VM) backendAble(b verb, list []api.Backend) bool {
	home := homeOf(v.Backend, list)
	if home == nil {
		return b.able == nil || b.able(v, backends.Capabilities{})
	}
	if b.key == VerbMigrate && len(migratesTo(*home, list)) == 0 {
		return false
	}
	return b.able == nil || b.able(v, home.Capabilities)
}

// homeOf returns the backend of that name, the default one for no name; nil if
// it is not configured.
func homeOf(name string, list []api.Backend) *api.Backend {
	i := slices.IndexFunc(list, func(b api.Backend) bool { return b.Name == name || name == "" && b.Default })
	if i < 0 {
		return nil
	}
	return &list[i]
}

// Offer sets the actions of each backend and where its VMs can move to, which follow
// from the types and capabilities of all.
func Offer(list []api.Backend) {
	for i, b := range list {
		list[i].Actions, list[i].MigratesTo = actionsOf(backendVerbs(b, list)), migratesTo(b, list)
	}
}

// backendVerbs returns what the backend can do, on a machine in any state.
func backendVerbs(b api.Backend, list []api.Backend) []Verb {
	var able []Verb
	for _, each := range verbs {
		can := each.able == nil
		for _, state := range []backends.State{backends.Running, backends.Stopped} {
			can = can || each.able(VM{Machine: api.Machine{State: state}}, b.Capabilities)
		}
		if can && (each.key != VerbMigrate || b.Capabilities.Nodes || len(migratesTo(b, list)) > 0) {
			able = append(able, each.key)
		}
	}
	return able
}

// migratesTo returns the names of the backends that a VM can move to: others of
// the same type, if both can migrate.
func migratesTo(b api.Backend, list []api.Backend) []string {
	var names []string
	for _, other := range list {
		if other.Name != b.Name && other.Type == b.Type && other.Capabilities.Migrate && b.Capabilities.Migrate {
			names = append(names, other.Name)
		}
	}
	return names
}
