//go:build long

package crashtest

import (
	"slices"
	"testing"

	"github.com/nixvm/nixvm/backends"
)

// The short pass is TestKillOnARealGuest.
func TestLongKillOnARealGuestDuringCreate(t *testing.T) {
	killDuringCreate(t, qemuGuest, pointsOf(qemuGuest, "create"))
}

func TestLongKillOnARealGuestDuringClone(t *testing.T) {
	killDuringClone(t, qemuGuest, backends.Stopped, pointsOf(qemuGuest, "clone"))
}

func TestLongKillOnARealGuestDuringCloneOfARunningVM(t *testing.T) {
	killDuringClone(t, qemuGuest, backends.Running, pointsOf(qemuGuest, "clone-running"))
}

func TestLongKillOnARealGuestDuringSnapshotRestoreAndDestroy(t *testing.T) {
	newHouse(t, qemuGuest).killDuringSnapshots(slices.Concat(
		pointsOf(qemuGuest, "snapshot"), pointsOf(qemuGuest, "restore-snapshot"), pointsOf(qemuGuest, "destroy")))
}

func TestLongKillOnARealGuestDuringRename(t *testing.T) {
	killDuringRename(t, qemuGuest, backends.Stopped, pointsOf(qemuGuest, "rename"))
}

func TestLongKillOnARealGuestDuringRenameOfARunningVM(t *testing.T) {
	killDuringRename(t, qemuGuest, backends.Running, pointsOf(qemuGuest, "rename-running"))
}

func TestLongKillOnARealGuestDuringRecreate(t *testing.T) {
	killDuringRecreate(t, qemuGuest, pointsOf(qemuGuest, "recreate"))
}

func TestLongKillOnARealGuestDuringUpgrade(t *testing.T) {
	killDuringUpgrade(t, qemuGuest, pointsOf(qemuGuest, "upgrade"))
}

func TestLongKillOnARealGuestDuringBackupAndItsRestore(t *testing.T) {
	killDuringBackup(t, qemuGuest, slices.Concat(pointsOf(qemuGuest, "backup"), pointsOf(qemuGuest, "restore-backup")))
}
