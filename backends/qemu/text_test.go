package qemu

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/internal/problem"
)

func TestNoSpaceHasItsCode(t *testing.T) {
	cause := errors.New("exit status 1")
	err := diskProblem(cause, "qemu-img: error while writing at byte 0: No space left on device")
	if !problem.HasCode(err, problem.DiskFull) || !errors.Is(err, cause) {
		t.Errorf("%v", err)
	}
	if err := diskProblem(cause, "Permission denied"); err != cause {
		t.Errorf("%v", err)
	}
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
