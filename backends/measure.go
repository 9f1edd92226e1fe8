package backends

import "context"

// DiskUsage is what the state disk of a VM takes, in bytes.
type DiskUsage struct {
	Virtual int64 // the size that the guest sees
	Used    int64 // what it takes in the storage of its host, with its snapshots
	// Snapshots is the part of Used that nothing but snapshots needs; negative: not known.
	Snapshots int64
}

// DiskMeter is a Backend that knows what the disks of its VMs take.
type DiskMeter interface {
	// DiskUsage answers within ctx, also for a VM that runs or hangs. Without snapshots,
	// their part is not determined, and the answer costs next to nothing; else the tables
	// of the disk are read.
	DiskUsage(ctx context.Context, vm Ref, snapshots bool) (DiskUsage, error)
}
