package backends

import (
	"context"

	"github.com/nixvm/nixvm/internal/problem"
)

// DiskGrower is a Backend that can enlarge the state disk of a running VM.
type DiskGrower interface {
	// GrowDisk makes the state disk of a running VM bytes large; its snapshots stay. A disk
	// that has this size already is left alone, and a larger one is size.invalid. A VM that
	// does not run: vm.not_running. After an error, and on cancellation, the disk has
	// either size.
	GrowDisk(ctx context.Context, vm Ref, bytes int64) error
}

// FileSystemGrower is a Backend that can tell a running guest to use all of an enlarged
// state disk. Guests do that at every boot, too.
type FileSystemGrower interface {
	// GrowFileSystem has the guest extend the file system on its state disk, which has
	// bytes. A VM that does not run: vm.not_running. A guest that does not do it, or has no
	// agent: disk.not_filled. It may be repeated.
	GrowFileSystem(ctx context.Context, vm Ref, bytes int64) error
}

// NotFilled is the problem of a guest that does not use all of its enlarged disk.
func NotFilled(name, format string, args ...any) *problem.Error {
	return problem.New(problem.DiskNotFilled, "the guest of VM %s has not extended its file system: "+format, append([]any{name}, args...)...).
		WithHint("it does so at its next boot: nixvmd reboot %s", name)
}
