//go:build long

package vm

import "testing"

// The short pass of the remote kind is TestKillWhileATaskRuns.
func TestLongKillAtEveryStepOfARemoteKind(t *testing.T) { killAtEveryStep(t, true) }
