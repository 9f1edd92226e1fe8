package libvirt

import (
	"context"

	golibvirt "github.com/digitalocean/go-libvirt"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/internal/names"
)

// DiskUsage is that of the file, or of the volume; see backends.DiskMeter.
func (b *Backend) DiskUsage(ctx context.Context, ref backends.Ref, snapshots bool) (backends.DiskUsage, error) {
	if err := names.Machine(ref.Name); err != nil {
		return backends.DiskUsage{}, err
	}
	if d, ok := b.get(ref.Name); !ok || !d.defined() || !ref.Is(d.mark.UUID) {
		return backends.DiskUsage{}, refusal.NotFound(ref.Name)
	}
	return b.storage.usage(ctx, ref.Name, snapshots)
}

func (s *localStorage) usage(ctx context.Context, name string, snapshots bool) (backends.DiskUsage, error) {
	return s.b.img.Usage(ctx, s.path(name, stateFile), snapshots)
}

// usage asks libvirt, which looks at the volume then. It does not know what of it is of
// snapshots.
func (s *poolStorage) usage(ctx context.Context, name string, _ bool) (backends.DiskUsage, error) {
	none := backends.DiskUsage{}
	p, err := s.lookup(ctx)
	if err != nil {
		return none, err
	}
	v, ok, err := s.volume(ctx, p, s.prefix(name)+"state")
	if err == nil && !ok {
		err = refusal.NotFound(name)
	}
	if err != nil {
		return none, err
	}
	return ask(ctx, s.b, func(l *golibvirt.Libvirt) (backends.DiskUsage, error) {
		_, capacity, allocation, err := l.StorageVolGetInfo(v)
		return backends.DiskUsage{Virtual: int64(capacity), Used: int64(allocation), Snapshots: -1}, err
	})
}
