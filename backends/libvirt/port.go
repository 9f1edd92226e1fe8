package libvirt

import (
	"github.com/nixvm/nixvm/backends"
)

// pickPort returns the port on 127.0.0.1 that is forwarded to the guest: the
// fixed one, else the one that it had, else a new one.
func (b *Backend) pickPort(spec backends.Spec, old int) (int, error) {
	taken := map[int]bool{}
	b.mu.Lock()
	for name, d := range b.domains {
		if name != spec.Name && d.mark.Port != 0 {
			taken[d.mark.Port] = true
		}
	}
	b.mu.Unlock()
	return backends.PickPort(spec.Name, old, nil, taken)
}
