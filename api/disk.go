package api

// DiskUsage is what the state disk of a VM takes.
type DiskUsage struct {
	// VirtualBytes is the size that the guest sees, in bytes.
	VirtualBytes int64 `json:"virtualBytes"`
	// UsedBytes is what the disk takes in the storage of its host, including its snapshots.
	UsedBytes int64 `json:"usedBytes"`
	// SnapshotBytes is the part of usedBytes that only snapshots need; absent if unknown,
	// as in a storage pool of libvirt.
	SnapshotBytes *int64 `json:"snapshotBytes,omitempty"`
}

// DiskResult is the disk of a VM, and the storage that it is in.
type DiskResult struct {
	// Disk is what it takes.
	Disk DiskUsage `json:"disk"`
	// Storage is the name of the storage: a directory, or a storage pool of a host. Absent if
	// the backend does not report it.
	Storage string `json:"storage,omitempty"`
	// FreeBytes is the free space of the storage.
	FreeBytes int64 `json:"freeBytes,omitempty"`
	// Warning if the storage is nearly full; one line.
	Warning string `json:"warning,omitempty"`
}
