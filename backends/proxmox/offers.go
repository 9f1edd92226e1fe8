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
	// noConsole: the release opens consoles for passwords only.
	noConsole atomic.Bool
}

// Offers hides snapshots where none could be restored, and consoles where none opens; see
// backends.Conditional.
func (b *Backend) Offers(optional any) bool {
	switch optional.(type) {
	case *backends.Snapshotter:
		return !b.abilities.newestOnly.Load()
	case *backends.Console:
		return !b.abilities.noConsole.Load()
	}
	return true
}

// learnAbilities asks for the release and, on one node, for the storage of the disks, until
// both have answered.
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
	v, err := b.version(ctx)
	if err != nil {
		return
	}
	b.abilities.known.Store(true)
	if !v.atLeast(consoleRelease.major, consoleRelease.minor) {
		b.abilities.noConsole.Store(true)
		b.events.Push(backends.Event{Kind: backends.CapabilitiesChanged})
	}
	if storage.Type == "zfspool" || storage.Type == "zfs" {
		b.abilities.newestOnly.Store(true)
		b.events.Push(backends.Event{Kind: backends.CapabilitiesChanged})
	}
}
