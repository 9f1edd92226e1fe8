//go:build long

package libvirt_test

import "testing"

func TestLongMigrationsThatAreCutOffLoseNothing(t *testing.T) { moves(t, true) }
