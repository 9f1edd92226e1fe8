//go:build long

package vm

import "testing"

func TestLongWhatWasReportedAsDoneIsThere(t *testing.T) { checkModel(t, 300, 40) }
