package backends

import "github.com/nixvm/nixvm/internal/problem"

// NewDiskMark, at this offset of a state disk, tells the guest that no guest has
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

// CheckCopySize refuses a copy of source's disk, of from bytes, that would have
// to shrink to to bytes.
func CheckCopySize(source string, from, to int64) error {
	if to >= from {
		return nil
	}
	return problem.New(problem.SizeInvalid, "the disk of %s has %d MiB; the copy cannot have %d MiB", source, from>>20, to>>20).
		WithHint("a disk can only grow")
}
