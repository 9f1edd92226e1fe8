package refusal

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/internal/problem"
)

func TestAFullDiskIsKnownHoweverItIsSaid(t *testing.T) {
	for name, err := range map[string]error{
		"by a system call":  fmt.Errorf("write: %w", &fs.PathError{Op: "write", Path: "/x", Err: unix.ENOSPC}),
		"by qemu-img":       errors.New("qemu-img convert: error while writing: No space left on device"),
		"by text of Go":     errors.New("sync /x: no space left on device"),
		"by a problem":      problem.New(problem.Internal, "the monitor said: No space left on device"),
		"by another joined": errors.Join(errors.New("cleaning up"), unix.ENOSPC),
	} {
		got := DiskFull(err)
		if p := problem.From(got); p.Code != problem.DiskFull || p.Hint == "" || !errors.Is(got, err) {
			t.Errorf("%s: %v", name, got)
		}
		if again := DiskFull(got); !errors.Is(again, got) || again.Error() != got.Error() {
			t.Errorf("%s, told twice: %v", name, again)
		}
	}
	for name, err := range map[string]error{
		"another error": errors.New("no such device"), "another number": unix.EIO, "a refusal": NotFound("demo"),
	} {
		if got := DiskFull(err); !errors.Is(got, err) || problem.HasCode(got, problem.DiskFull) {
			t.Errorf("%s: %v", name, got)
		}
	}
	if err := DiskFull(nil); err != nil {
		t.Error(err)
	}
}

func TestAFailedSnapshotKeepsTheCodeThatItHas(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want problem.Code
	}{
		"a refusal of the hypervisor": {errors.New("Device 'state' is read only"), problem.SnapshotFailed},
		"a full disk":                 {unix.ENOSPC, problem.DiskFull},
		"a VM that is silent":         {fmt.Errorf("ask: %w", problem.New(problem.BackendUnreachable, "silent")), problem.BackendUnreachable},
	} {
		if got := SnapshotFailed("demo", c.err); !problem.HasCode(got, c.want) || !errors.Is(got, c.err) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestADiskOnlyGrows(t *testing.T) {
	for _, c := range []struct {
		have, want int64
		refused    bool
	}{{1 << 30, 2 << 30, false}, {1 << 30, 1 << 30, false}, {1 << 30, 1<<30 - 512, true}} {
		for name, err := range map[string]error{"a state disk": Shrunk(c.have, c.want), "a copy of an image": TooSmall(c.want, c.have)} {
			if (err != nil) != c.refused || c.refused && !problem.HasCode(err, problem.SizeInvalid) {
				t.Errorf("%s from %d to %d: %v", name, c.have, c.want, err)
			}
		}
	}
}
