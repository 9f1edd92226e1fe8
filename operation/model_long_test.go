//go:build long

package operation

import "testing"

func TestLongWhatWasReportedIsTrue(t *testing.T) { checkModel(t, 3000, 40) }
