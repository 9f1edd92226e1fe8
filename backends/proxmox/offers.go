package proxmox

import (
	"context"
	"sync/atomic"

	"github.com/nixvm/nixvm/backends"
)

// abilities are those that depend on the storage of the disks, which is asked for once.
type abilities struct {
	known atomic.Bool
	// newestOnly: the storage restores the newest snapshot only. A restore of nixvm takes
	// a snapshot first, and so could never succeed.
	newestOnly atomic.Bool
}

// Offers hides snapshots where none could be restored; see backends.Conditional.
func (b *Backend) Offers(optional any) bool {
	if _, ok := optional.(*backends.Snapshotter); ok {
		return !b.abilities.newestOnly.Load()
	}
	return true
}

// learnAbilities asks one node for the storage of the disks, until it has answered.
func (b *Backend) learnAbilities(ctx context.Context) {
	if b.abilities.known.Load() {
		return
	}
	node, err := b.pick(ctx)
	if err != nil {
		return
	}
	storage, err := b.diskStorage(ctx, node)
	if err != nil {
		return // Check says it
	}
	b.abilities.known.Store(true)
	if storage.Type == "zfspool" || storage.Type == "zfs" {
		b.abilities.newestOnly.Store(true)
		b.events.Push(backends.Event{Kind: backends.CapabilitiesChanged})
	}
}
