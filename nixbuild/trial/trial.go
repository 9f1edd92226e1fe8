// Package trial builds the trial guest: a Debian image that obeys the guest
// contract (docs/guest-contract.md), for hosts without Nix, for our own tests
// and for trying out nixvm. It is not NixOS and never claims to be.
//
// A build has two steps. mmdebstrap makes the root tree's tar from the Debian
// archives that this host's apt is configured for (a minute; kept in .cache beside
// the images). The disk step adds the files under overlay/, makes an initrd, and
// puts kernel, ESP and an ext4 root into a qcow2 (seconds). Neither mounts
// anything or needs a loop device; both work as root and as a plain user.
//
// Two kinds: "trial" runs systemd; "tiny" is the same tree under busybox init,
// for tests that need a guest in seconds. The programs that run at boot are shared
// with NixOS images: start reading at nixbuild/flake/guest/preinit.
package trial

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nixvm/nixvm/internal/progress"
	"github.com/nixvm/nixvm/nixbuild"
)

// Builder builds trial images. Use New or NewTiny.
type Builder struct {
	kind  string
	cache string
}

var _ nixbuild.Builder = (*Builder)(nil)

// New returns the builder of the "trial" kind. cache is the directory of root
// trees, kept between builds; the store's is images/.cache.
func New(cache string) *Builder { return &Builder{kind: kindTrial, cache: cache} }

// NewTiny returns the builder of the "tiny" kind: busybox init, OpenSSH.
func NewTiny(cache string) *Builder { return &Builder{kind: kindTiny, cache: cache} }

// Kind is "trial" or "tiny".
func (b *Builder) Kind() string { return b.kind }

// Profiles lists what the image can have.
func (b *Builder) Profiles() nixbuild.Catalogue { return catalogue() }

// ID names the image of a request; see nixbuild.Builder.
func (b *Builder) ID(req nixbuild.Request) (string, error) {
	p, err := newPlan(b.kind, req, suites[0])
	if err != nil {
		return "", err
	}
	return p.id()
}

// Build makes the image; see nixbuild.Builder.
func (b *Builder) Build(ctx context.Context, req nixbuild.Request, dir string, report progress.Reporter) (nixbuild.Image, error) {
	p, err := newPlan(b.kind, req, suites[0])
	if err != nil {
		return nixbuild.Image{}, err
	}
	if found := b.Check(); len(found) > 0 {
		return nixbuild.Image{}, missing(found)
	}
	id, err := p.id()
	if err != nil {
		return nixbuild.Image{}, err
	}
	rootTar, done, err := b.rootTar(ctx, p, report)
	if err != nil {
		return nixbuild.Image{}, err
	}
	// The tree lies beside the image: the same file system, the same free space.
	work, err := os.MkdirTemp(dir, "work-")
	if err != nil {
		return nixbuild.Image{}, err
	}
	defer os.RemoveAll(work)
	d := &diskStep{plan: p, tool: tool{report: report}, work: work, dir: dir, imageID: id}
	if err := d.build(ctx, rootTar, done, report); err != nil {
		return nixbuild.Image{}, err
	}
	return d.describe(ctx)
}

// diskParts is the number of parts of the disk step.
const diskParts = 3

// build runs the disk step. done is how much progress the root tree was: the
// count goes on from there.
func (d *diskStep) build(ctx context.Context, rootTar string, done int64, report progress.Reporter) error {
	as, err := d.fakeroot()
	if err != nil {
		return err
	}
	part := max(diskShare(done)/diskParts, 1)
	steps := [diskParts]struct {
		name string
		run  func() error
	}{
		{"unpacking the root tree", func() error { return d.unpack(ctx, as, rootTar) }},
		{"building the initrd", d.bootFiles},
		{"building the disk", func() error {
			if err := nixbuild.WriteDebianPackages(d.dir, d.dpkgStatus()); err != nil {
				return err
			}
			return d.assemble(ctx, as)
		}},
	}
	for i, s := range steps {
		report.Report(progress.Update{Vertex: vertex, Message: s.name, Current: done + int64(i)*part, Total: done + diskParts*part, Unit: "steps"})
		if err := s.run(); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

func (d *diskStep) describe(ctx context.Context) (nixbuild.Image, error) {
	disk := filepath.Join(d.dir, diskOut)
	size, err := virtualSize(ctx, disk)
	if err != nil {
		return nixbuild.Image{}, err
	}
	sum, err := nixbuild.SumFile(ctx, disk)
	if err != nil {
		return nixbuild.Image{}, err
	}
	img := nixbuild.Image{
		Contract: nixbuild.ContractVersion, ID: d.imageID, Distro: "debian", Mode: d.mode, Profiles: d.profiles,
		System: "x86_64-linux", Version: d.imageID, Built: time.Now().UTC().Truncate(time.Second),
		Source: fmt.Sprintf("Debian %s, %s", d.suite, strings.Join(append([]string{d.kind}, d.profiles...), ", ")),
		Disk:   nixbuild.Disk{File: diskOut, Format: "qcow2", VirtualSize: size, SHA256: sum},
	}
	if d.mode == nixbuild.Mutable {
		// The guest owns its kernel: it boots by UEFI from its own disk.
		for _, f := range []string{"vmlinuz", "initrd"} {
			if err := os.Remove(filepath.Join(d.dir, f)); err != nil {
				return nixbuild.Image{}, err
			}
		}
		return img, nil
	}
	img.Kernel, img.Initrd, img.Cmdline = "vmlinuz", "initrd", d.cmdline()
	return img, nil
}
