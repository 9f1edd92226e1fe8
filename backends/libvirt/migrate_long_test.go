//go:build long

package libvirt_test

import "testing"

func TestLongMigrationsThatAreCutOffLoseNothing(t *testing.T) { moves(t, true) }

func TestLongAMigrationWhoseProcessIsKilledAtAnyPointIsFinishedByTheNext(t *testing.T) {
	killed(t, 20, 45, 60, 75, 85, 95)
}
