//go:build long

package vm

import "testing"

// The short pass of the remote kind is TestKillWhileATaskRuns.
func TestLongKillAtEveryStepOfARemoteKind(t *testing.T) { killAtEveryStep(t, true) }

func TestLongKillAtEveryStepOfABackup(t *testing.T) {
	for kind := range backupKinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			for at := 1; killBackup(t, kind, at); at++ {
			}
		})
	}
}
