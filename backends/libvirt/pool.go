package libvirt

import (
	"context"
	"errors"
	"strings"

	golibvirt "github.com/digitalocean/go-libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
)

// ownPool is the storage pool that is made where the configuration names none.
const (
	ownPool     = "nixvm"
	ownPoolPath = "/var/lib/libvirt/nixvm"
)

// pool returns the storage pool, started. Ours is defined if it is not there;
// others are their owner's affair.
func (s *poolStorage) pool(ctx context.Context, report progress.Reporter) (golibvirt.StoragePool, error) {
	p, err := s.lookup(ctx)
	if hasCode(err, golibvirt.ErrNoStoragePool) {
		if s.name != ownPool {
			return p, problem.New(problem.ConfigInvalid, "libvirt has no storage pool %s", s.name).
				WithHint("virsh -c %s pool-list --all lists its pools; change pool in the configuration of the backend %s", s.b.target.virsh(), s.b.config.Name)
		}
		return s.definePool(ctx, report)
	}
	if err != nil {
		return p, err
	}
	return p, do(ctx, s.b, func(l *golibvirt.Libvirt) error {
		active, err := l.StoragePoolIsActive(p)
		if err != nil || active != 0 {
			return err
		}
		err = l.StoragePoolCreate(p, golibvirt.StoragePoolCreateNormal)
		if hasCode(err, golibvirt.ErrOperationInvalid) {
			return nil // another process was faster
		}
		return err
	})
}

func (s *poolStorage) lookup(ctx context.Context) (golibvirt.StoragePool, error) {
	return ask(ctx, s.b, func(l *golibvirt.Libvirt) (golibvirt.StoragePool, error) { return l.StoragePoolLookupByName(s.name) })
}

func (s *poolStorage) definePool(ctx context.Context, report progress.Reporter) (golibvirt.StoragePool, error) {
	message := "defining the storage pool " + ownPool + " in " + ownPoolPath + ": the host has none"
	report.Message("disk", message)
	s.b.log.Info(message, "uri", s.b.config.URI)
	text, err := (&libvirtxml.StoragePool{
		Type: "dir", Name: ownPool,
		// QEMU's user passes through, and sees no names.
		Target: &libvirtxml.StoragePoolTarget{Path: ownPoolPath, Permissions: &libvirtxml.StoragePoolTargetPermissions{Mode: "0711"}},
	}).Marshal()
	if err != nil {
		return golibvirt.StoragePool{}, err
	}
	p, err := ask(ctx, s.b, func(l *golibvirt.Libvirt) (golibvirt.StoragePool, error) {
		p, err := l.StoragePoolDefineXML(text, 0)
		if err != nil {
			return p, err
		}
		if err := l.StoragePoolCreate(p, golibvirt.StoragePoolCreateWithBuild); err != nil {
			return p, errors.Join(err, l.StoragePoolUndefine(p))
		}
		return p, l.StoragePoolSetAutostart(p, 1)
	})
	if err != nil && isAnswer(err) {
		return p, problem.New(problem.ConfigInvalid, "libvirt cannot define the storage pool %s: %s", ownPool, backends.OneLine(err.Error())).
			WithHint("define one yourself (virsh -c %s pool-define-as) and name it as pool of the backend %s", s.b.target.virsh(), s.b.config.Name)
	}
	return p, err
}

// volume looks one up; none is the zero volume.
func (s *poolStorage) volume(ctx context.Context, p golibvirt.StoragePool, name string) (golibvirt.StorageVol, bool, error) {
	v, err := ask(ctx, s.b, func(l *golibvirt.Libvirt) (golibvirt.StorageVol, error) { return l.StorageVolLookupByName(p, name) })
	if hasCode(err, golibvirt.ErrNoStorageVol) {
		return v, false, nil
	}
	return v, err == nil, err
}

// makeVolume makes an empty one; backing may be nil.
func (s *poolStorage) makeVolume(ctx context.Context, p golibvirt.StoragePool, name, format string, bytes uint64, backing *libvirtxml.StorageVolumeBackingStore) (golibvirt.StorageVol, error) {
	text, err := volumeXML(name, format, bytes, backing)
	if err != nil {
		return golibvirt.StorageVol{}, err
	}
	v, err := askFor(ctx, s.b, s.b.limits.start, func(l *golibvirt.Libvirt) (golibvirt.StorageVol, error) {
		return l.StorageVolCreateXML(p, text, 0)
	})
	return v, refusal.DiskFull(err)
}

func volumeXML(name, format string, bytes uint64, backing *libvirtxml.StorageVolumeBackingStore) (string, error) {
	x := libvirtxml.StorageVolume{
		Name: name, Capacity: &libvirtxml.StorageVolumeSize{Unit: "bytes", Value: bytes}, Allocation: &libvirtxml.StorageVolumeSize{},
		Target: &libvirtxml.StorageVolumeTarget{
			Format: &libvirtxml.StorageVolumeTargetFormat{Type: format}, Permissions: &libvirtxml.StorageVolumeTargetPermissions{Mode: "0600"},
		},
		BackingStore: backing,
	}
	if format == "qcow2" {
		x.Target.Compat = "1.1" // libvirt's own choice cannot discard
	}
	return x.Marshal()
}

// dropVolume deletes one. None is not an error.
func (s *poolStorage) dropVolume(ctx context.Context, p golibvirt.StoragePool, name string) error {
	v, ok, err := s.volume(ctx, p, name)
	if err != nil || !ok {
		return err
	}
	return do(ctx, s.b, func(l *golibvirt.Libvirt) error {
		err := l.StorageVolDelete(v, golibvirt.StorageVolDeleteNormal)
		if hasCode(err, golibvirt.ErrNoStorageVol) {
			return nil
		}
		return err
	})
}

// volumes lists the names that begin so.
func (s *poolStorage) volumes(ctx context.Context, p golibvirt.StoragePool, prefix string) ([]string, error) {
	all, err := ask(ctx, s.b, func(l *golibvirt.Libvirt) ([]golibvirt.StorageVol, error) {
		vols, _, err := l.StoragePoolListAllVolumes(p, 1, 0)
		return vols, err
	})
	var names []string
	for _, v := range all {
		if strings.HasPrefix(v.Name, prefix) {
			names = append(names, v.Name)
		}
	}
	return names, err
}

// capacity is a volume's virtual size.
func (s *poolStorage) capacity(ctx context.Context, v golibvirt.StorageVol) (int64, error) {
	return ask(ctx, s.b, func(l *golibvirt.Libvirt) (int64, error) {
		_, capacity, _, err := l.StorageVolGetInfo(v)
		return int64(capacity), err
	})
}

func (s *poolStorage) path(ctx context.Context, v golibvirt.StorageVol) (string, error) {
	return ask(ctx, s.b, func(l *golibvirt.Libvirt) (string, error) { return l.StorageVolGetPath(v) })
}
