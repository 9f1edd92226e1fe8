package vm

import (
	"sync"
	"time"

	"github.com/nixvm/nixvm/machine"
	"github.com/nixvm/nixvm/vm/inventory"
)

// latestImages are the ids of the images that machines would get now. Finding them reads
// the flake, so nothing waits for it: what is known is shown, and a change is announced.
type latestImages struct {
	kick chan struct{} // holds a token while the images are to be found again

	mu      sync.Mutex
	ids     map[string]string // by imageKey; only what is known
	checked time.Time
}

func newLatestImages() *latestImages {
	return &latestImages{kick: make(chan struct{}, 1), ids: map[string]string{}}
}

// again has the images found again, unless the answer is younger than age.
func (l *latestImages) again(age time.Duration) {
	l.mu.Lock()
	young := time.Since(l.checked) < age
	l.mu.Unlock()
	if young {
		return
	}
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

// isOutdated reports whether a VM would get another image by an upgrade; false where
// that is not known.
func (l *latestImages) isOutdated(e *inventory.Entry) bool {
	key := imageKey(e)
	if key == "" {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	id := l.ids[key]
	return id != "" && id != e.Record.Image.ID
}

// outdatedAge is how old an answer may be when machines are listed. An older one is
// used all the same, and asked for again.
const outdatedAge = 5 * time.Second

// imageKey is what the image of a machine follows from; empty for a machine without a
// VM, for one whose guest owns its system, and for an image that is a file.
func imageKey(e *inventory.Entry) string {
	m := e.Machine
	if m == nil || e.Record == nil || m.Mode == machine.Mutable || m.Image == "" || isFile(m.Image) {
		return ""
	}
	return m.Image + "\n" + string(m.Mode) + "\n" + inventory.ProfileList(m.Profiles)
}
