package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/nixvm/nixvm/internal/problem"
)

func TestANameCanBeUsedOnce(t *testing.T) {
	s := newStore(t)
	create(t, s, Draft{Name: "demo"})
	_, err := s.Create(context.Background(), Draft{Name: "demo"})
	wantProblem(t, err, problem.MachineExists)

	write(t, s, "broken", MemoryFile, "x")
	_, err = s.Create(context.Background(), Draft{Name: "broken"})
	wantProblem(t, err, problem.MachineExists)
}

func TestOfManyCreatesOfOneNameOneWins(t *testing.T) {
	dir := newStore(t).dir
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() {
			s, err := OpenStore(dir) // as another process would
			if err == nil {
				_, err = s.Create(context.Background(), Draft{Name: "demo"})
			}
			errs[i] = err
		})
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else if !problem.HasCode(err, problem.MachineExists) {
			t.Error(err)
		}
	}
	if won != 1 {
		t.Errorf("%d won", won)
	}
}

func TestAFailedCreateLeavesNothing(t *testing.T) {
	for what, c := range map[string]struct {
		draft Draft
		code  problem.Code
		step  func(cancel func(), dir string)
	}{
		"a bad value": {Draft{Name: "demo", MemoryMiB: 1}, problem.MachineInvalid, nil},
		"cancelled half-way": {Draft{Name: "demo"}, problem.Cancelled, func(cancel func(), _ string) {
			cancel()
		}},
		"the directory vanishes": {Draft{Name: "demo"}, problem.Internal, func(_ func(), dir string) {
			half, _ := filepath.Glob(filepath.Join(dir, newPrefix+"*"))
			for _, d := range half {
				_ = os.RemoveAll(d)
			}
		}},
	} {
		t.Run(what, func(t *testing.T) {
			s := newStore(t)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			if c.step != nil {
				s.step = func(what string) {
					if what == "write "+MemoryFile {
						c.step(cancel, s.dir)
					}
				}
			}
			_, err := s.Create(ctx, c.draft)
			if got := problem.From(err); got == nil || got.Code != c.code {
				t.Errorf("%v, want %s", err, c.code)
			}
			if left := s.entries(t); len(left) != 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

func TestAFullDiskHasItsOwnCode(t *testing.T) {
	err := writeProblem("create machine demo", fmt.Errorf("write: %w", &os.PathError{Op: "write", Path: "/x", Err: syscall.ENOSPC}))
	wantProblem(t, err, problem.DiskFull)
	if !problem.From(err).Retryable || !strings.Contains(err.Error(), "create machine demo") {
		t.Errorf("%+v", err)
	}
	if other := writeProblem("x", os.ErrPermission); problem.HasCode(other, problem.DiskFull) || !errors.Is(other, os.ErrPermission) {
		t.Error(other)
	}
}

func TestPermissionsDoNotDependOnTheUmask(t *testing.T) {
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	s := newStore(t)
	create(t, s, Draft{Name: "demo"})
	for path, want := range map[string]os.FileMode{
		"": 0o700, HostKeyFile: 0o600, RootPasswordFile: 0o600, HostKeyPubFile: 0o644, ProfileFile: 0o644,
	} {
		fi, err := os.Stat(filepath.Join(s.Dir("demo"), path))
		if err != nil || fi.Mode().Perm() != want {
			t.Errorf("%q: %v, %v; want %v", path, fi.Mode(), err, want)
		}
	}
}

func TestANameThatMeansSomethingElseIsRefusedForANewMachine(t *testing.T) {
	for _, name := range []string{"localhost", "2130706433", "0x7f000001"} {
		wantProblem(t, Draft{Name: name}.Check(), problem.MachineNameInvalid)
	}
}
