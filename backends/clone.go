package backends

import (
	"context"

	"github.com/nixvm/nixvm/internal/progress"
)

// Source is the state disk that a clone begins with.
type Source struct {
	VM       Ref    // which must be off unless a snapshot is named
	Snapshot string // of that VM; empty = the disk as it is now
}

// Cloner is a Backend that copies state disks.
type Cloner interface {
	// ClonesSnapshots reports whether Source may name a snapshot; where it does not
	// hold, one is refused as unsupported.
	ClonesSnapshots() bool
	// Clone is Create, with a state disk that is an independent copy of another
	// VM's, of spec.DiskBytes (a smaller size than the source's: size.invalid),
	// without the source's snapshots. spec brings the identity. A mutable VM gets
	// a copy of the UEFI variables too, where the backend can read them. The
	// source stays as it is. Of a snapshot, it may run, and start and stop meanwhile; else
	// one that runs is refused with vm.running.
	Clone(ctx context.Context, from Source, spec Spec, report progress.Reporter) error
}
