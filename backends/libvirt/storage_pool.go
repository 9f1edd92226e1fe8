package libvirt

import (
	"context"
	"errors"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/ctxlock"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
)

// poolStorage keeps disks as volumes of a storage pool, for a libvirtd whose
// files we do not see:
//
//	nixvm-image-ID.disk, .kernel, .initrd   an image, uploaded once for all users of the host
//	nixvm-image-ID.complete                 made when all of it is there
//	nixvm-OWNER-NAME.state                  qcow2: the state disk; of a mutable VM an overlay on the image. See shelf_pool.go
//	nixvm-OWNER-NAME.identity               written at every start
//	nixvm-OWNER-NAME.at-BACKEND             whose VM it is; see storage_home.go
//
// QEMU runs as libvirt's own user, to whom libvirt gives the volumes of a VM
// that starts. UEFI variables are where libvirt keeps them.
type poolStorage struct {
	b         *Backend
	name      string
	uploading ctxlock.Mutex // held while an image is uploaded
}

func newPoolStorage(b *Backend, name string) *poolStorage {
	if name == "" {
		name = ownPool
	}
	return &poolStorage{b: b, name: name}
}

// prefix begins the names of the volumes of all VMs of ours, or of one: a
// machine's name holds no dot.
func (s *poolStorage) prefix(name string) string {
	p := "nixvm-" + s.b.owner.ID + "-"
	if name != "" {
		p += name + "."
	}
	return p
}

func (s *poolStorage) create(ctx context.Context, spec backends.Spec, report progress.Reporter) (d disks, err error) {
	p, err := s.pool(ctx, report)
	if err != nil {
		return d, err
	}
	name, err := s.fresh(ctx, p, spec.Name)
	if err != nil {
		return d, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.remove(context.WithoutCancel(ctx), spec.Name))
		}
	}()
	paths, err := s.ensureImage(ctx, p, spec.Image, report)
	if err != nil {
		return d, err
	}
	report.Message("disk", "creating the disks")
	state, err := s.state(ctx, p, spec, name, paths)
	if err != nil {
		return d, err
	}
	return s.ready(ctx, p, spec, state, paths)
}

// fresh removes what a crash has left of a VM that is to be made, says whose it is, and
// names the state disk that it will have.
func (s *poolStorage) fresh(ctx context.Context, p golibvirt.StoragePool, name string) (state string, err error) {
	err = s.checkHome(ctx, p, name)
	if err == nil {
		err = s.remove(ctx, name)
	}
	if err == nil {
		err = s.markHome(ctx, p, name, s.b.config.Name)
	}
	if err != nil {
		return "", err
	}
	volumes, err := s.volumes(ctx, p, s.prefix(name))
	return s.freeState(name, volumes), err
}

// state makes the state disk: an overlay on the image, or an empty one that is
// marked as new.
func (s *poolStorage) state(ctx context.Context, p golibvirt.StoragePool, spec backends.Spec, name string, paths map[string]string) (golibvirt.StorageVol, error) {
	if !spec.Mutable {
		return s.newState(ctx, p, spec, name)
	}
	if err := s.checkHolds(ctx, p, spec); err != nil {
		return golibvirt.StorageVol{}, err
	}
	return s.makeVolume(ctx, p, name, "qcow2", uint64(spec.DiskBytes), &libvirtxml.StorageVolumeBackingStore{
		Path: paths[spec.Image.Disk], Format: &libvirtxml.StorageVolumeTargetFormat{Type: spec.Image.Format},
	})
}

// newState lets libvirt convert a small raw volume with the mark, since what is
// uploaded to a qcow2 volume is not its content but the file.
func (s *poolStorage) newState(ctx context.Context, p golibvirt.StoragePool, spec backends.Spec, name string) (state golibvirt.StorageVol, err error) {
	mark := s.prefix(spec.Name) + "mark"
	if _, err := s.put(ctx, p, mark, backends.NewDiskHead()); err != nil {
		return state, err
	}
	from, _, err := s.volume(ctx, p, mark)
	if err != nil {
		return state, err
	}
	text, err := volumeXML(name, "qcow2", uint64(len(backends.NewDiskHead())), nil)
	if err != nil {
		return state, err
	}
	state, err = askFor(ctx, s.b, s.b.limits.start, func(l *golibvirt.Libvirt) (golibvirt.StorageVol, error) {
		return l.StorageVolCreateXMLFrom(p, text, from, 0)
	})
	if err == nil {
		err = s.resize(ctx, state, spec.DiskBytes)
	}
	if err == nil {
		err = s.dropVolume(ctx, p, mark)
	}
	return state, refusal.DiskFull(err)
}

// resize sets a volume's virtual size.
func (s *poolStorage) resize(ctx context.Context, v golibvirt.StorageVol, bytes int64) error {
	return refusal.DiskFull(do(ctx, s.b, func(l *golibvirt.Libvirt) error { return l.StorageVolResize(v, uint64(bytes), 0) }))
}

// checkHolds refuses a mutable VM whose disk is smaller than the image.
func (s *poolStorage) checkHolds(ctx context.Context, p golibvirt.StoragePool, spec backends.Spec) error {
	v, _, err := s.volume(ctx, p, imageName(spec.Image.ID)+"disk")
	if err != nil {
		return err
	}
	size, err := s.capacity(ctx, v)
	if err != nil {
		return err
	}
	return refusal.TooSmall(spec.DiskBytes, size)
}

func (s *poolStorage) prepare(ctx context.Context, spec backends.Spec) (disks, error) {
	p, err := s.pool(ctx, nil)
	if err != nil {
		return disks{}, err
	}
	state, size, err := s.stateDisk(ctx, p, spec.Name)
	if err != nil {
		return disks{}, err
	}
	if err := refusal.Shrunk(size, spec.DiskBytes); err != nil {
		return disks{}, err
	}
	if spec.DiskBytes > size {
		if err := s.resize(ctx, state, spec.DiskBytes); err != nil {
			return disks{}, err
		}
	}
	paths := map[string]string{}
	if !spec.Mutable { // the overlay of a mutable one has its image already
		if paths, err = s.ensureImage(ctx, p, spec.Image, nil); err != nil {
			return disks{}, err
		}
	}
	return s.ready(ctx, p, spec, state, paths)
}

// stateDisk is the state disk of a VM, and its size in bytes.
func (s *poolStorage) stateDisk(ctx context.Context, p golibvirt.StoragePool, name string) (golibvirt.StorageVol, int64, error) {
	none := golibvirt.StorageVol{}
	volumes, err := s.volumes(ctx, p, s.prefix(name))
	if err != nil {
		return none, 0, err
	}
	v, ok := none, false
	if state := s.stateIn(name, volumes); state != "" {
		v, ok, err = s.volume(ctx, p, state)
	}
	if err == nil && !ok {
		err = problem.New(problem.VMStartFailed, "the pool %s has no state disk of %s", s.name, name).WithHint("restore the volume; if the VM is no longer needed: nixvmd destroy %s", name)
	}
	if err != nil {
		return v, 0, err
	}
	size, err := s.capacity(ctx, v)
	return v, size, err
}

// ready writes the identity medium and says where all is.
func (s *poolStorage) ready(ctx context.Context, p golibvirt.StoragePool, spec backends.Spec, state golibvirt.StorageVol, paths map[string]string) (disks, error) {
	d := disks{Kernel: paths[spec.Image.Kernel], Initrd: paths[spec.Image.Initrd]}
	if !spec.Mutable {
		d.Boot, d.Format = paths[spec.Image.Disk], spec.Image.Format
	}
	var err error
	if d.State, err = s.path(ctx, state); err != nil {
		return d, err
	}
	d.Identity, err = s.put(ctx, p, s.prefix(spec.Name)+"identity", spec.Identity)
	return d, err
}

func (s *poolStorage) exists(ctx context.Context, name string) (bool, error) {
	of, err := s.of(ctx, s.prefix(name))
	return len(s.inPlace(of)) > 0, err
}

func (s *poolStorage) names(ctx context.Context, c *conn) (map[string]bool, error) {
	of, err := call(ctx, c, s.b.limits.call, func(l *golibvirt.Libvirt) ([]golibvirt.StorageVol, error) {
		p, err := l.StoragePoolLookupByName(s.name)
		if err != nil {
			return nil, err
		}
		active, err := l.StoragePoolIsActive(p)
		if err == nil && active == 0 {
			err = l.StoragePoolCreate(p, golibvirt.StoragePoolCreateNormal)
		}
		if err != nil {
			return nil, err
		}
		all, _, err := l.StoragePoolListAllVolumes(p, 1, 0)
		return all, err
	})
	switch {
	case hasCode(err, golibvirt.ErrNoStoragePool):
		return nil, nil
	case err != nil && isAnswer(err): // domains without disks are shown as broken
		s.b.log.Warn("cannot list the storage pool", "pool", s.name, "error", err)
		return nil, nil
	case err != nil:
		return nil, err
	}
	volumes := map[string][]string{}
	for _, v := range of {
		if name, ok := s.machineOf(v.Name); ok {
			volumes[name] = append(volumes[name], v.Name)
		}
	}
	names := map[string]bool{}
	for name, of := range volumes {
		if of = s.inPlace(of); len(of) > 0 {
			_, names[name] = s.others(s.homesIn(name, of))
		}
	}
	return names, nil
}

// of lists volumes, of a pool that is there already and runs.
func (s *poolStorage) of(ctx context.Context, prefix string) ([]string, error) {
	p, err := s.lookup(ctx)
	if hasCode(err, golibvirt.ErrNoStoragePool) {
		return nil, nil
	}
	if err == nil {
		p, err = s.pool(ctx, nil)
	}
	if err == nil {
		err = s.rescan(ctx, p)
	}
	if err != nil {
		return nil, err
	}
	return s.volumes(ctx, p, prefix)
}

func (s *poolStorage) remove(ctx context.Context, name string) error {
	if err := names.Machine(name); err != nil {
		return err
	}
	all, err := s.of(ctx, s.prefix(name))
	if err == nil {
		all, err = s.removable(name, s.inPlace(all))
	}
	if err != nil || len(all) == 0 {
		return err
	}
	p, err := s.lookup(ctx)
	for _, v := range all {
		if err == nil {
			err = s.dropWritten(ctx, p, v)
		}
	}
	return err
}

// dropWritten waits until libvirtd has ended a copy that a client which is gone
// asked for: it deletes no volume that it still writes.
func (s *poolStorage) dropWritten(ctx context.Context, p golibvirt.StoragePool, name string) error {
	ctx, cancel := context.WithTimeout(ctx, s.b.limits.start)
	defer cancel()
	tick := time.NewTicker(dropPause)
	defer tick.Stop()
	for {
		err := s.dropVolume(ctx, p, name)
		if !hasCode(err, golibvirt.ErrOperationInvalid) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

// dropPause spaces the attempts: libvirtd has no event for a complete volume.
const dropPause = 500 * time.Millisecond

func (s *poolStorage) check(ctx context.Context) []backends.Finding {
	_, err := s.lookup(ctx)
	f := backends.Finding{Code: "libvirt.pool_missing", Severity: backends.Info}
	switch {
	case hasCode(err, golibvirt.ErrNoStoragePool) && s.name == ownPool:
		f.Message = "libvirt has no storage pool " + ownPool + " yet: nixvm defines it, in " + ownPoolPath + ", with the first VM"
	case hasCode(err, golibvirt.ErrNoStoragePool):
		f.Severity, f.Message = backends.Fatal, "libvirt has no storage pool "+s.name+": no VM can be created"
		f.Fix = "virsh -c " + s.b.target.virsh() + " pool-list --all lists its pools; change pool in config.toml"
	case err != nil:
		f.Severity, f.Code, f.Message = backends.Warning, "libvirt.pool_unknown", "cannot determine whether libvirt has the storage pool "+s.name+": "+backends.OneLine(err.Error())
	default:
		return nil
	}
	return []backends.Finding{f}
}
