package backends

// NewDiskMark, at this offset of a state disk, tells the guest that nobody has
// ever stored anything on it (guest contract, "Disks"): the guest formats it
// without reading it through first. Hosts that cannot write to the disk leave it
// blank, which is as good and slower.
const (
	NewDiskMark       = "nixvm: being formatted"
	NewDiskMarkOffset = 32 << 10
)

// NewDiskHead is what a new state disk begins with; the rest of it is zeros.
func NewDiskHead() []byte {
	head := make([]byte, NewDiskMarkOffset+512)
	copy(head[NewDiskMarkOffset:], NewDiskMark)
	return head
}
