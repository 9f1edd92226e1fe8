package api

// disruptive are the kinds of operations that end or interrupt a running guest, and
// with it open connections.
var disruptive = map[Kind]bool{
	KindStop: true, KindKill: true, KindReboot: true, KindSuspend: true,
	KindRestoreSnapshot: true, KindRestoreBackup: true, KindUpgrade: true, KindRollback: true, KindRecreate: true, KindRename: true, KindDestroy: true, KindPurge: true,
}

// Kinds returns the kinds of operations, in the order of their constants.
func Kinds() []Kind {
	return []Kind{
		KindCreate, KindClone, KindStart, KindStop, KindKill, KindReboot, KindSuspend, KindResume, KindDestroy, KindPurge, KindSnapshot,
		KindRestoreSnapshot, KindDeleteSnapshot, KindMigrate, KindUpgrade, KindRollback, KindRecreate, KindRename, KindApply, KindBuildImage, KindBackup, KindRestoreBackup,
		KindImport, KindPull, KindResolve,
	}
}

// Disruptive reports whether connections into the guest end when such an
// operation runs: editors close theirs when it begins.
func (k Kind) Disruptive() bool { return disruptive[k] }

// Outcome is what a disruptive operation leaves behind when it succeeds.
type Outcome string

// The outcomes.
const (
	OutcomeDown     Outcome = "down"     // the VM stays off or suspended, is gone, or has another name
	OutcomeUp       Outcome = "up"       // the same system runs again
	OutcomeReplaced Outcome = "replaced" // the disk is another one: what was read from it is out of date
)

// Outcome returns what an operation of that kind leaves; empty unless it is disruptive.
func (k Kind) Outcome() Outcome {
	switch {
	case !k.Disruptive():
		return ""
	case k == KindReboot, k == KindUpgrade, k == KindRollback:
		return OutcomeUp
	case k == KindRestoreSnapshot || k == KindRestoreBackup || k == KindRecreate:
		return OutcomeReplaced
	}
	return OutcomeDown
}
