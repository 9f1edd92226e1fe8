package vm

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/paths"
)

// disk is one file system.
func disk(id int32, mib uint64) unix.Statfs_t {
	return unix.Statfs_t{Fsid: unix.Fsid{Val: [2]int32{id, 0}}, Bsize: 4096, Bavail: mib << 8, Files: 1000, Ffree: 500}
}

func TestTheDoctorNamesFullDisks(t *testing.T) {
	l := paths.Under("/home/x")
	noInodes := disk(3, 100000)
	noInodes.Ffree = 0
	noCount := disk(3, 100000) // btrfs counts no inodes
	noCount.Files, noCount.Ffree = 0, 0
	for name, tc := range map[string]struct {
		disks    map[string]unix.Statfs_t // others have room
		findings int
		severity backends.Severity
		words    []string
	}{
		"all have room":                 {nil, 0, "", nil},
		"the state is full":             {map[string]unix.Statfs_t{l.State: disk(2, 1)}, 1, backends.Fatal, []string{l.State, "is full: 1 MiB", "disks of the VMs"}},
		"the state is nearly full":      {map[string]unix.Statfs_t{l.State: disk(2, 1000)}, 1, backends.Warning, []string{l.State, "nearly full: 1000 MiB"}},
		"the images are nearly full":    {map[string]unix.Statfs_t{l.Images(): disk(2, 1000)}, 1, backends.Warning, []string{l.Images()}},
		"the runtime directory is full": {map[string]unix.Statfs_t{l.Runtime: disk(2, 0)}, 1, backends.Fatal, []string{l.Runtime, "sockets"}},
		"a small runtime directory":     {map[string]unix.Statfs_t{l.Runtime: disk(2, 100)}, 0, "", nil},
		"the configuration is full":     {map[string]unix.Statfs_t{l.Config: disk(2, 0)}, 1, backends.Fatal, []string{l.Config}},
		"no inodes":                     {map[string]unix.Statfs_t{l.Data: noInodes}, 1, backends.Fatal, []string{l.Data, "no free inodes"}},
		"a file system without inodes":  {map[string]unix.Statfs_t{l.Data: noCount}, 0, "", nil},
		"one disk for all is told once": {map[string]unix.Statfs_t{l.State: disk(1, 1), l.Images(): disk(1, 1), l.Data: disk(1, 1), l.Config: disk(1, 1)}, 1, backends.Fatal, []string{l.State}},
	} {
		got := doctorSpace(l, 2<<30, func(dir string, st *unix.Statfs_t) error {
			*st = disk(1, 100000)
			if d, ok := tc.disks[dir]; ok {
				*st = d
			}
			return nil
		})
		if len(got) != tc.findings {
			t.Errorf("%s: %+v", name, got)
			continue
		}
		for _, w := range tc.words {
			if got[0].Severity != tc.severity || !strings.Contains(got[0].Message, w) || got[0].Fix == "" {
				t.Errorf("%s: %+v, want %s with %q", name, got[0], tc.severity, w)
			}
		}
	}
}

func TestSpaceThatCannotBeAskedFor(t *testing.T) {
	l := paths.Under("/home/x")
	broken := errors.New("a network file system is gone")
	got := doctorSpace(l, 2<<30, func(dir string, st *unix.Statfs_t) error {
		*st = disk(1, 100000)
		switch dir {
		case l.State:
			return broken
		case l.Images():
			return fs.ErrNotExist // its parent is asked
		}
		return nil
	})
	if len(got) != 1 || !strings.Contains(got[0].Message, broken.Error()) || !strings.Contains(got[0].Message, l.State) {
		t.Errorf("%+v", got)
	}
	if got := doctorSpace(paths.Under(t.TempDir()), 2<<30, unix.Statfs); len(got) > 1 {
		t.Errorf("of this computer: %+v", got)
	}
}
