// Package snapshots handles the lists of snapshots that hypervisors keep, each in a
// form of its own.
package snapshots

import (
	"slices"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/refusal"
)

// Find returns the snapshot of a VM with this name, or snapshot.not_found. nameOf is
// the name of one in the list.
func Find[S any](all []S, nameOf func(S) string, vm, name string) (S, error) {
	i := slices.IndexFunc(all, func(s S) bool { return nameOf(s) == name })
	if i < 0 {
		var none S
		return none, refusal.SnapshotNotFound(vm, name)
	}
	return all[i], nil
}

// CheckFree refuses a name that is in the list of a VM's snapshots: snapshot.exists.
func CheckFree[S any](all []S, nameOf func(S) string, vm, name string) error {
	if _, err := Find(all, nameOf, vm, name); err != nil {
		return nil //nolint:nilerr // that it is not found is what is asked for
	}
	return refusal.SnapshotExists(vm, name)
}

// Sorted is the list as backends.Backend wants it, oldest first. describe makes what
// the core sees of one.
func Sorted[S any](all []S, describe func(S) backends.Snapshot) []backends.Snapshot {
	list := make([]backends.Snapshot, 0, len(all))
	for _, s := range all {
		list = append(list, describe(s))
	}
	slices.SortStableFunc(list, func(a, b backends.Snapshot) int { return a.Created.Compare(b.Created) })
	return list
}
