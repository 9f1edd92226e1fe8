//go:build long

package proxmox_test

import "testing"

func TestLongNothingIsLostOrDoubledWhicheverConnectionEnds(t *testing.T) { loseRequests(t, 1) }
