package libvirt

import (
	"context"
	"fmt"

	golibvirt "github.com/digitalocean/go-libvirt"

	"github.com/nixvm/nixvm/backends"
)

// Space is the room where the disks are.
func (b *Backend) Space(ctx context.Context) (backends.Space, error) { return b.storage.space(ctx) }

// space asks for the pool as it is now: libvirt answers with what it saw when it last
// looked.
func (s *poolStorage) space(ctx context.Context) (backends.Space, error) {
	free, err := s.available(ctx)
	if err != nil {
		return backends.Space{}, fmt.Errorf("space in the storage pool %s: %w", s.name, err)
	}
	return backends.Space{
		Storage: fmt.Sprintf("pool %s of %s", s.name, s.b.config.URI), Name: fmt.Sprintf("the storage pool %s on %s", s.name, s.b.target.where()), Free: free,
	}, nil
}

func (s *poolStorage) available(ctx context.Context) (int64, error) {
	p, err := s.lookup(ctx)
	if err == nil {
		err = s.rescan(ctx, p)
	}
	if err != nil {
		return 0, err
	}
	return ask(ctx, s.b, func(l *golibvirt.Libvirt) (int64, error) {
		_, _, _, free, err := l.StoragePoolGetInfo(p)
		return int64(free), err
	})
}
