//go:build long

package qemu_test

import "testing"

func TestLongAHostileGuestRepeatsEveryAttack(t *testing.T) { keptIn(t, true) }
