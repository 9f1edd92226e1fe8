package qemu

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/internal/problem"
)

func TestPercentOfQemuImg(t *testing.T) {
	var got []float64
	w := percentWriter{report: func(p float64) { got = append(got, p) }}
	for _, part := range []string{"    (0.00/100%)\r    (12.", "50/100%)\r   (x/100%)\r(", "900/100%)\r (100.00/100%)\r\n"} {
		if n, err := w.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatal(n, err)
		}
	}
	if len(got) != 3 || got[0] != 0 || got[1] != 12.5 || got[2] != 100 {
		t.Errorf("%v", got)
	}
}

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
