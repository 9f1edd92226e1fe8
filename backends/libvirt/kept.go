package libvirt

import (
	"context"
	"os"

	"github.com/nixvm/nixvm/backends"
)

// Kept tells what the definition of a VM says; see backends.Keeper. The identity
// medium and the size of the disk are known where they are files of this host.
func (b *Backend) Kept(ctx context.Context, ref backends.Ref) (backends.Kept, error) {
	d, err := b.now(ctx, ref)
	if err != nil {
		return backends.Kept{}, err
	}
	k := backends.Kept{UUID: d.mark.UUID, MAC: d.mark.MAC, Mutable: d.mark.Mutable, ImageID: d.mark.Image}
	if s, ok := b.storage.(*localStorage); ok {
		if info, err := b.img.InfoShared(ctx, s.path(ref.Name, stateFile)); err == nil {
			k.DiskBytes = info.VirtualSize
		}
		if medium, err := os.ReadFile(s.path(ref.Name, identityFile)); err == nil {
			k.Identity = medium
		}
	}
	return k, nil
}
