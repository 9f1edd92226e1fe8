package libvirt

import (
	"context"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/nixvm/nixvm/backends"
)

// limitsLimit bounds the query of the limits: the user waits for it while typing a number.
const limitsLimit = 3 * time.Second

// Limits are what libvirt says of its host.
func (b *Backend) Limits(ctx context.Context) (l backends.Limits) {
	l.VCPUs = backends.MaxVCPUs
	ctx, cancel := context.WithTimeout(ctx, limitsLimit)
	defer cancel()
	kib, err := ask(ctx, b, func(l *golibvirt.Libvirt) (uint64, error) {
		_, kib, _, _, _, _, _, _, err := l.NodeGetInfo()
		return kib, err
	})
	if err == nil {
		l.MemoryMiB = int(kib >> 10)
	}
	if caps, err := b.host(ctx); err == nil {
		if most := maxCPUs(caps); most > 0 {
			l.VCPUs = min(l.VCPUs, most)
		}
	}
	return l
}

var _ backends.LimitedHost = (*Backend)(nil)

// maxCPUs is what the machine type of our guests can have, 0 if that is not said.
func maxCPUs(caps libvirtxml.Caps) int {
	for _, g := range caps.Guests {
		if g.OSType != "hvm" || g.Arch.Name != "x86_64" {
			continue
		}
		for _, m := range g.Arch.Machines {
			if m.Name == "q35" {
				return m.MaxCPUs
			}
		}
	}
	return 0
}
