package vm

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/paths"
)

// none is what the writing of a small file may already fail with, in bytes.
const none = 16 << 20

// statfs is asked for the space of a directory; tests have their own.
type statfs func(dir string, st *unix.Statfs_t) error

// doctorSpace names each file system that is full, or nearly, with the directories
// of ours that lie there. Below scarce, in bytes, disks and images have too little.
func doctorSpace(l paths.Layout, scarce int64, ask statfs) []api.Finding {
	type place struct {
		what, dir string
		limit     int64 // below which it is scarce; sockets need next to nothing
	}
	var list []api.Finding
	seen := map[unix.Fsid]string{}
	for _, p := range []place{
		{"the disks of the VMs", l.State, scarce},
		{"images", l.Images(), scarce},
		{"machines", l.Data, none},
		{"sockets", l.Runtime, none},
		{"the configuration", l.Config, none},
	} {
		var st unix.Statfs_t
		err := ask(p.dir, &st)
		if errors.Is(err, fs.ErrNotExist) {
			err = ask(filepath.Dir(p.dir), &st)
		}
		if err != nil {
			list = append(list, api.Finding{
				Area: "disk", Code: "disk.unknown", Severity: backends.Warning,
				Message: fmt.Sprintf("cannot determine the free space for %s in %s: %v", p.what, p.dir, err),
			})
			continue
		}
		if _, told := seen[st.Fsid]; told && st.Fsid != (unix.Fsid{}) {
			continue
		}
		if f, ok := spaceOf(p.what, p.dir, p.limit, st); ok {
			seen[st.Fsid] = p.dir
			list = append(list, f)
		}
	}
	return list
}

// spaceOf is the finding of one directory; ok is false when there is room.
func spaceOf(what, dir string, limit int64, st unix.Statfs_t) (f api.Finding, ok bool) {
	free := int64(st.Bavail) * st.Bsize
	f = api.Finding{Area: "disk", Code: "disk.full", Severity: backends.Fatal}
	const fix = "free space there: nixvmd image gc removes unused images, nixvmd delete-snapshot NAME SNAPSHOT a snapshot, nixvmd destroy NAME a machine"
	switch {
	case st.Files > 0 && st.Ffree == 0:
		f.Message = fmt.Sprintf("the file system of %s (%s) has no free inodes", dir, what)
		f.Fix = "remove files there"
	case free < none:
		f.Message = fmt.Sprintf("the file system of %s (%s) is full: %d MiB are left", dir, what, free>>20)
		f.Fix = fix
	case free < limit:
		f.Code, f.Severity = "disk.scarce", backends.Warning
		f.Message = fmt.Sprintf("the file system of %s (%s) is nearly full: %d MiB are left", dir, what, free>>20)
		f.Fix = fix + ". A VM whose disk cannot grow is paused until there is free space"
	default:
		return f, false
	}
	return f, true
}
