package crashtest

import (
	"slices"
	"testing"
)

// What only a real guest shows, with as few boots as possible: a QEMU that had not been
// started is none, one that boots is adopted, and the disk is whole. All points of a real
// guest are in make test-long.
func TestKillOnARealGuest(t *testing.T) {
	h := newHouse(t, qemuGuest)
	h.crash(point{verb: "create", step: "start"})
	h.open(h.nothing)
	h.crash(point{verb: "create", step: "ready"})
	h.open(h.wholeDemo)
	h.killDuringSnapshots(slices.Concat(steps("restore-snapshot", undone, "restore"), pointsOf(qemuGuest, "destroy")))
}
