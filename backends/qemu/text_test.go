package qemu

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/internal/problem"
)

func TestWhatDoesNotFitIsNotBegun(t *testing.T) {
	if err := room(t.TempDir(), 1<<60); !problem.HasCode(err, problem.DiskFull) {
		t.Errorf("%v", err)
	}
	var st unix.Statfs_t
	if unix.Statfs(t.TempDir(), &st) == nil && st.Bavail > 0 {
		if err := room(t.TempDir(), 1); err != nil {
			t.Errorf("%v", err)
		}
	}
}
