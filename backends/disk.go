package backends

// NewDiskMark, at this offset of a state disk, tells the guest that nobody has
// ever stored anything on it (guest contract, "Disks"): the guest formats it
// without reading it through first. Hosts that cannot write to the disk leave it
// blank, which is as good and slower.
const (
	NewDiskMark       = "nixvm: being formatted"
	NewDiskMarkOffset = 32 << 10
)
