package backends

import "context"

// Kept is what a backend has of a VM besides the guest's data. The files that
// nixvm keeps elsewhere are made again from it when they are damaged. Zero = it is
// not known.
type Kept struct {
	UUID, MAC string // as of the last definition or start
	Mutable   bool
	ImageID   string // of the image that it was last defined or started with
	ImageDisk string // its disk: a path on the host of the daemon
	DiskBytes int64  // virtual size of the state disk
	Identity  []byte // the identity medium as the guest has it
}

// Keeper is a backend that can tell what it has of a VM.
type Keeper interface {
	// Kept never changes anything. A VM that does not exist: vm.not_found.
	Kept(ctx context.Context, vm Ref) (Kept, error)
}
