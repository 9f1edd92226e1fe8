package vm

import (
	"fmt"

	"github.com/nixvm/nixvm/api"
)

// snapshotCount is how many snapshots a VM has, as far as the service has seen:
// a list that was read for another reason, and what operations did since. The
// backend is never asked for it alone.
type snapshotCount struct {
	known   bool
	count   int
	changes int // grows with every change: a list that was read across one is not counted

	instance string // of the VM whose snapshots they are
}

func (c *snapshotCount) usage(name string) *api.SnapshotUsage {
	if !c.known {
		return nil
	}
	return &api.SnapshotUsage{Count: c.count, Warning: SnapshotWarning(name, c.count)}
}

// SnapshotWarning says in one line that a VM has too many snapshots; empty when
// it has not.
func SnapshotWarning(name string, count int) string {
	if count < manySnapshots {
		return ""
	}
	return fmt.Sprintf("%s has %d snapshots: with %d or more, taking or deleting one can stall the guest's disk for a second or longer; "+
		"delete some while the VM is stopped: nixvmd delete-snapshot %s SNAPSHOT", name, count, manySnapshots, name)
}

// manySnapshots is the number from which on a VM is shown with a warning. Up to
// some 200 in a qcow2 file of 8 GiB, taking one holds the disk up for less than
// 100 ms nine times out of ten; at 1000 it was 3 s, and deleting one 5 s. See
// docs/decisions/0017-snapshots-stay-inside-qcow2.md.
const manySnapshots = 200

func (c *snapshotCount) add(n int) {
	c.changes++
	c.count += n
	if c.count < 0 { // another client has added some: count again
		c.forget()
	}
}

func (c *snapshotCount) forget() { *c = snapshotCount{changes: c.changes + 1, instance: c.instance} }
