package libvirt

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
)

var _ backends.ImageHost = (*Backend)(nil)

// PrepareImage uploads an image to the pool; see backends.ImageHost.
func (b *Backend) PrepareImage(ctx context.Context, img backends.Image, report progress.Reporter) error {
	s, ok := b.storage.(*poolStorage)
	if !ok {
		return nil
	}
	if err := backends.CheckImage(img); err != nil {
		return err
	}
	err := b.again(ctx, func() error {
		p, err := s.pool(ctx, report)
		if err == nil {
			_, err = s.ensureImage(ctx, p, img, report)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("upload image %s to %s: %w", img.ID, b.target.where(), err)
	}
	return nil
}

// CollectImages removes images from the pool; see backends.ImageHost. Files of
// this host are used where they are, so that there is nothing to remove.
func (b *Backend) CollectImages(ctx context.Context, claim func(id string) (string, func(), error), dryRun bool) ([]backends.ImageCopy, error) {
	s, ok := b.storage.(*poolStorage)
	if !ok {
		return nil, nil
	}
	c := collection{poolStorage: s, claim: claim, dryRun: dryRun}
	if err := s.uploading.Lock(ctx); err != nil {
		return nil, err
	}
	defer s.uploading.Unlock()
	return c.run(ctx)
}

// collection is one look through the images of a pool. An image is needed when
// its name stands in anything that libvirtd says of a domain, of a snapshot or of
// another volume, of any user.
type collection struct {
	*poolStorage
	claim  func(id string) (string, func(), error)
	dryRun bool

	pool  golibvirt.StoragePool
	texts []string // what libvirtd says of domains and snapshots
	found map[string]*copied
	disks []string // names of volumes that are state disks of VMs of any user
}

// copied is an image in the pool.
type copied struct {
	volumes []golibvirt.StorageVol
	bytes   int64
	changed time.Time // when the youngest volume was written
	user    string    // a volume that is an overlay on it
}

// imageVolume and stateVolume are the names of volumes, see poolStorage; asideVolume says
// that a state disk belongs to no VM, see poolShelf.
var (
	imageVolume = regexp.MustCompile(`^nixvm-image-(.+)\.(?:disk|kernel|initrd|complete)$`)
	stateVolume = regexp.MustCompile(`^nixvm-[0-9a-f]{8}-.+\.state(?:-\d+)?$`)
	asideVolume = regexp.MustCompile(`^(nixvm-[0-9a-f]{8}-[^.]+\.)shelf-[^.]+\.([^.]+)\.`)
)

func (c *collection) run(ctx context.Context) ([]backends.ImageCopy, error) {
	_, err := c.lookup(ctx)
	if hasCode(err, golibvirt.ErrNoStoragePool) {
		return nil, nil
	}
	if err == nil {
		c.pool, err = c.poolStorage.pool(ctx, nil)
	}
	if err != nil {
		return nil, err
	}
	if err := c.scan(ctx); err != nil {
		return nil, err
	}
	var all []backends.ImageCopy
	for _, id := range slices.Sorted(maps.Keys(c.found)) {
		one := backends.ImageCopy{ID: id, Bytes: c.found[id].bytes}
		if one.Kept, err = c.drop(ctx, id); err != nil {
			return all, fmt.Errorf("image %s: %w", id, err)
		}
		all = append(all, one)
	}
	return all, nil
}

// scan asks for everything. What cannot be asked ends the collection: nothing is
// removed on a guess.
func (c *collection) scan(ctx context.Context) error {
	err := do(ctx, c.b, func(l *golibvirt.Libvirt) error { return l.StoragePoolRefresh(c.pool, 0) })
	if err != nil && isAnswer(err) {
		return problem.New(problem.VMBusy, "cannot read the storage pool %s: %s", c.name, backends.OneLine(err.Error())).Retry().
			WithHint("it may be in use by an upload; try again later")
	}
	if err != nil {
		return err
	}
	if err := c.scanVolumes(ctx); err != nil {
		return err
	}
	doms, err := ask(ctx, c.b, func(l *golibvirt.Libvirt) ([]golibvirt.Domain, error) {
		doms, _, err := l.ConnectListAllDomains(1, 0)
		return doms, err
	})
	for _, dom := range doms {
		if err == nil {
			err = c.scanDomain(ctx, dom)
		}
	}
	return err
}

// scanVolumes finds the images and their overlays, in all pools that run.
func (c *collection) scanVolumes(ctx context.Context) error {
	pools, err := ask(ctx, c.b, func(l *golibvirt.Libvirt) ([]golibvirt.StoragePool, error) {
		pools, _, err := l.ConnectListAllStoragePools(1, golibvirt.ConnectListStoragePoolsActive)
		return pools, err
	})
	if err != nil {
		return err
	}
	c.found = map[string]*copied{}
	var others []libvirtxml.StorageVolume
	away := map[string]bool{}
	for _, p := range pools {
		vols, err := ask(ctx, c.b, func(l *golibvirt.Libvirt) ([]golibvirt.StorageVol, error) {
			vols, _, err := l.StoragePoolListAllVolumes(p, 1, 0)
			return vols, err
		})
		if err != nil {
			return fmt.Errorf("storage pool %s: %w", backends.OneLine(p.Name), err)
		}
		for _, v := range vols {
			x, err := c.describe(ctx, v)
			if err != nil {
				return fmt.Errorf("volume %s: %w", backends.OneLine(v.Name), err)
			}
			if m := imageVolume.FindStringSubmatch(v.Name); m != nil && p.UUID == c.pool.UUID {
				c.add(m[1], v, x)
				continue
			}
			others = append(others, x)
			if stateVolume.MatchString(v.Name) && p.UUID == c.pool.UUID {
				c.disks = append(c.disks, v.Name)
			}
			if m := asideVolume.FindStringSubmatch(v.Name); m != nil {
				away[m[1]+m[2]] = true
			}
		}
	}
	c.disks = slices.DeleteFunc(c.disks, func(disk string) bool { return away[disk] })
	for _, x := range others {
		for id, one := range c.found {
			if x.BackingStore != nil && strings.Contains(x.BackingStore.Path, imageName(id)) {
				one.user = x.Name
			}
		}
	}
	return nil
}

// imageName begins the names of the volumes of an image.
func imageName(id string) string { return "nixvm-image-" + id + "." }

func (c *collection) describe(ctx context.Context, v golibvirt.StorageVol) (x libvirtxml.StorageVolume, err error) {
	text, err := ask(ctx, c.b, func(l *golibvirt.Libvirt) (string, error) { return l.StorageVolGetXMLDesc(v, 0) })
	if hasCode(err, golibvirt.ErrNoStorageVol) {
		return x, nil // it went while we looked
	}
	if err == nil {
		err = x.Unmarshal(text)
	}
	return x, err
}

func (c *collection) add(id string, v golibvirt.StorageVol, x libvirtxml.StorageVolume) {
	one := c.found[id]
	if one == nil {
		one = &copied{}
		c.found[id] = one
	}
	one.volumes = append(one.volumes, v)
	if x.Allocation != nil {
		one.bytes += int64(x.Allocation.Value)
	}
	changed := time.Now() // unknown: as if it was written now
	if t := x.Target; t != nil && t.Timestamps != nil {
		seconds, _, _ := strings.Cut(t.Timestamps.Mtime, ".")
		if n, err := strconv.ParseInt(seconds, 10, 64); err == nil {
			changed = time.Unix(n, 0)
		}
	}
	if changed.After(one.changed) {
		one.changed = changed
	}
}

// scanDomain collects the definitions of a domain, as it runs and as it would
// start, and those that its snapshots keep.
func (c *collection) scanDomain(ctx context.Context, dom golibvirt.Domain) error {
	texts, err := ask(ctx, c.b, func(l *golibvirt.Libvirt) ([]string, error) {
		live, err := l.DomainGetXMLDesc(dom, 0)
		if err != nil {
			return nil, err
		}
		stored, err := l.DomainGetXMLDesc(dom, golibvirt.DomainXMLInactive)
		if err != nil {
			return nil, err
		}
		texts := []string{live, stored}
		snapshots, _, err := l.DomainListAllSnapshots(dom, 1, 0)
		for _, s := range snapshots {
			text, err := l.DomainSnapshotGetXMLDesc(s, 0)
			if err != nil && !hasCode(err, golibvirt.ErrNoDomainSnapshot) {
				return nil, err
			}
			texts = append(texts, text)
		}
		return texts, err
	})
	if hasCode(err, golibvirt.ErrNoDomain) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("domain %s: %w", backends.OneLine(dom.Name), err)
	}
	c.texts = append(c.texts, texts...)
	return nil
}

func (c *collection) said(name string) bool {
	return slices.ContainsFunc(c.texts, func(text string) bool { return strings.Contains(text, name) })
}

// drop removes an image, or says why it stays.
func (c *collection) drop(ctx context.Context, id string) (kept string, err error) {
	kept, release, err := c.claim(id)
	if err != nil || kept != "" {
		return kept, err
	}
	defer release()
	one := c.found[id]
	switch {
	case c.said(imageName(id)):
		return "a domain there uses it", nil
	case one.user != "":
		return "the volume " + backends.OneLine(one.user) + " is an overlay on it", nil
	case time.Since(one.changed) < c.b.limits.uploaded:
		return "it was uploaded recently", nil
	}
	for _, disk := range c.disks {
		if !c.said(disk) { // a pool may be shared by several hosts
			return "the VM of " + disk + " is not a domain there: it may be running on another host, from this image", nil
		}
	}
	if c.dryRun {
		return "", nil
	}
	// The mark that it is whole first: who needs it now uploads what is gone.
	slices.SortFunc(one.volumes, func(x, y golibvirt.StorageVol) int { return strings.Compare(x.Name, y.Name) })
	for _, v := range one.volumes {
		if err := c.dropVolume(ctx, c.pool, v.Name); hasCode(err, golibvirt.ErrOperationInvalid) {
			return "it is being uploaded", nil
		} else if err != nil {
			return "", err
		}
	}
	return "", nil
}
