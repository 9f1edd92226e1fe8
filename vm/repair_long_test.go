//go:build long

package vm

import "testing"

// TestLongDamagedFilesLoseNothing is every way of damage for every file.
func TestLongDamagedFilesLoseNothing(t *testing.T) {
	damagedFiles(t, "empty", "truncated", "zeros", "garbage")
}
