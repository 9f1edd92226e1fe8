package libvirt

import (
	"context"
	"crypto/rand"
	"slices"
	"strings"

	golibvirt "github.com/digitalocean/go-libvirt"

	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/internal/problem"
)

// A pool on shared storage is seen by several backends, so the disks of a VM
// come with a small volume that names the one whose VM it is:
//
//	nixvm-OWNER-NAME.at-BACKEND
//
// Where another backend's name stands, the disks are none of ours: they are not
// listed, and removing the VM here removes nothing. During a migration both
// names stand there, and nothing is removed. Disks without such a volume
// are from a nixvm that did not make it, and belong to every backend that sees them.

func (s *poolStorage) home(name, backend string) string { return s.prefix(name) + "at-" + backend }

// homesIn picks the backends that a list of a VM's volumes names.
func (s *poolStorage) homesIn(name string, volumes []string) []string {
	var homes []string
	for _, v := range volumes {
		if home, ok := strings.CutPrefix(v, s.home(name, "")); ok {
			homes = append(homes, home)
		}
	}
	return homes
}

// others are the backends, besides ours, that a VM's disks belong to; ours says
// whether they are ours as well.
func (s *poolStorage) others(homes []string) (others []string, ours bool) {
	own := s.b.config.Name
	others = slices.DeleteFunc(slices.Clone(homes), func(h string) bool { return h == own })
	return others, len(others) == len(homes)-1 || len(homes) == 0
}

// markHome makes a volume of no content that says where the VM is. One that is
// there is as good.
func (s *poolStorage) markHome(ctx context.Context, p golibvirt.StoragePool, name, backend string) error {
	v := s.home(name, backend)
	if _, ok, err := s.volume(ctx, p, v); ok || err != nil {
		return err
	}
	_, err := s.makeVolume(ctx, p, v, "raw", 512, nil)
	return err
}

// rescan lets libvirtd look for volumes that others have made in the pool. While
// an upload into it is running libvirtd does not, and its old list must do.
func (s *poolStorage) rescan(ctx context.Context, p golibvirt.StoragePool) error {
	_, err := askFor(ctx, s.b, s.b.limits.start, func(l *golibvirt.Libvirt) (struct{}, error) {
		return struct{}{}, l.StoragePoolRefresh(p, 0)
	})
	if err != nil && isAnswer(err) {
		s.b.log.Debug("cannot refresh the storage pool", "pool", s.name, "error", err)
		return nil
	}
	return err
}

// proveShared refuses a storage that is not the same on both hosts: a volume
// with a name that never was before is made here, and looked for there.
func (s *poolStorage) proveShared(ctx context.Context, to *poolStorage, name string) (err error) {
	here, err := s.pool(ctx, nil)
	if err != nil {
		return err
	}
	there, err := to.pool(ctx, nil)
	if err != nil {
		return err
	}
	probe := s.prefix(name) + "probe-" + strings.ToLower(rand.Text())
	v, err := s.makeVolume(ctx, here, probe, "raw", 512, nil)
	if err != nil {
		return err
	}
	defer func() {
		if gone := s.dropVolume(context.WithoutCancel(ctx), here, probe); err == nil {
			err = gone
		}
	}()
	path, err := s.path(ctx, v)
	if err != nil {
		return err
	}
	if err := to.rescan(ctx, there); err != nil {
		return err
	}
	return to.seesAll(ctx, []string{path}, s.b.config.Name)
}

// seesAll refuses paths that are not volumes of this host.
func (s *poolStorage) seesAll(ctx context.Context, paths []string, from string) error {
	for _, path := range paths {
		_, err := ask(ctx, s.b, func(l *golibvirt.Libvirt) (golibvirt.StorageVol, error) { return l.StorageVolLookupByPath(path) })
		if hasCode(err, golibvirt.ErrNoStorageVol) {
			return problem.New(problem.StorageNotShared, "backend %s does not see %s of backend %s: they do not share storage", s.b.config.Name, path, from).
				WithHint("put the pool of both on storage that both hosts mount at the same path, such as NFS (pool = in config.toml)")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// checkHome refuses to make disks in the place of another backend's.
func (s *poolStorage) checkHome(ctx context.Context, p golibvirt.StoragePool, name string) error {
	if err := s.rescan(ctx, p); err != nil {
		return err
	}
	volumes, err := s.volumes(ctx, p, s.prefix(name))
	if err != nil {
		return err
	}
	if others, _ := s.others(s.homesIn(name, volumes)); len(others) > 0 {
		return problem.New(problem.VMExists, "the pool %s has the disks of a VM %s of backend %s", s.name, name, others[0]).
			WithHint("choose another name, or destroy that VM first")
	}
	return nil
}

// removable are the volumes of a VM that may be removed here, the one that says
// whose they are last.
func (s *poolStorage) removable(name string, volumes []string) ([]string, error) {
	others, ours := s.others(s.homesIn(name, volumes))
	switch {
	case len(others) == 0:
		home := s.home(name, "")
		slices.SortStableFunc(volumes, func(a, b string) int { return strings.Index(a, home) - strings.Index(b, home) })
		return volumes, nil
	case ours:
		return nil, problem.New(problem.VMExists, "the outcome of a migration of %s from or to %s is unknown, so its disks are kept", name, others[0]).
			WithHint("restart nixvmd while both hosts are reachable; if %s no longer exists: virsh -c %s vol-delete --pool %s %s", others[0], s.b.target.Remote, s.name, s.home(name, others[0]))
	}
	return nil, nil
}

// machineOf is the machine that a volume belongs to, of any backend of ours.
func (s *poolStorage) machineOf(volume string) (string, bool) {
	rest, ours := strings.CutPrefix(volume, s.prefix(""))
	name, _, _ := strings.Cut(rest, ".")
	return name, ours && names.IsMachine(name)
}
