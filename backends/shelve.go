package backends

import (
	"context"
	"regexp"
	"time"

	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/internal/problem"
)

// Shelver is a Backend that can set a VM aside, whole, and bring it back: another VM is
// made under its name meanwhile. A VM that is set aside takes no name and no memory, is
// in no list, and nothing but the methods below touches it. Its key tells it from others
// that had its name, also from those with its UUID, which the VM in its place may have;
// see [CheckShelf]. What has the key but another UUID is not there, and is left alone.
type Shelver interface {
	// Shelve sets a VM that is off aside; one that runs is refused with vm.running.
	// Afterwards it is Absent. It may be called again after a crash at any point: one
	// that is on the shelf already is left there.
	Shelve(ctx context.Context, vm Ref, key string) error
	// Unshelve brings it back with its disk, snapshots and settings. Where another VM
	// has its name: vm.exists. It may be called again, too: a VM that is back, and has
	// left nothing on the shelf, is left alone. One that is nowhere: vm.not_found.
	Unshelve(ctx context.Context, vm Ref, key string) error
	// Shelved lists all that are set aside, in any order.
	Shelved(ctx context.Context) ([]ShelvedVM, error)
	// DropShelved deletes one, with its disks and snapshots. None: not an error.
	DropShelved(ctx context.Context, vm Ref, key string) error
}

// ShelvedVM is a VM that is set aside.
type ShelvedVM struct {
	VM    Ref // without UUID where that cannot be read
	Key   string
	Since time.Time
	Bytes int64  // that it takes on the disk of its host
	Place string // of its files, for people: a directory, where they are on this host
}

// shelfKey is the form of a key: part of the names of files.
var shelfKey = regexp.MustCompile(`^[0-9a-z]{1,40}$`)

// CheckShelf refuses a name or a key of a VM to be set aside that is not one.
func CheckShelf(name, key string) error {
	if err := names.Machine(name); err != nil {
		return err
	}
	if !shelfKey.MatchString(key) {
		return problem.New(problem.BadParams, "%.40q is no key of a VM that is set aside", key)
	}
	return nil
}
