package crashtest

import (
	"slices"
	"testing"

	"github.com/nixvm/nixvm/backends"
)

func TestKillDuringCreate(t *testing.T) {
	each(t, func(t *testing.T, kind string) { killDuringCreate(t, kind, pointsOf(kind, "create")) })
}

func TestKillDuringClone(t *testing.T) {
	each(t, func(t *testing.T, kind string) { killDuringClone(t, kind, backends.Stopped, pointsOf(kind, "clone")) })
}

func TestKillDuringCloneOfARunningVM(t *testing.T) {
	each(t, func(t *testing.T, kind string) {
		killDuringClone(t, kind, backends.Running, pointsOf(kind, "clone-running"))
	})
}

func TestKillDuringSnapshotAndRestore(t *testing.T) {
	each(t, func(t *testing.T, kind string) {
		newHouse(t, kind).killDuringSnapshots(slices.Concat(pointsOf(kind, "snapshot"), pointsOf(kind, "restore-snapshot")))
	})
}

func TestKillDuringRecreate(t *testing.T) {
	each(t, func(t *testing.T, kind string) { killDuringRecreate(t, kind, pointsOf(kind, "recreate")) })
}

func TestKillDuringDestroy(t *testing.T) {
	each(t, func(t *testing.T, kind string) {
		for _, p := range pointsOf(kind, "destroy") {
			t.Run(p.String(), func(t *testing.T) { newHouse(t, kind).killDuringSnapshots([]ends{p}) })
		}
	})
}
