package backends

import "context"

// HostFull is the reason of a VM that is paused because its host has no space for what
// it writes.
const HostFull = "host disk full: it resumes by itself when there is space"

// Space is the room in the storage that has the disks of a backend's VMs.
type Space struct {
	// Storage identifies it: a second backend with the same storage has the same text.
	Storage string
	// Name is how users know it: a directory, or a storage pool of a host.
	Name string
	Free int64 // bytes that disks can still grow by
}

// SpaceHost is a Backend that knows how much room its VMs' disks have. Its VMs are
// paused, with [Status.Full], when a write finds none.
type SpaceHost interface {
	// Space asks for it, within ctx.
	Space(ctx context.Context) (Space, error)
}
