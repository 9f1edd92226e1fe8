package libvirt

import (
	"context"
	"errors"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"
	"libvirt.org/go/libvirtxml"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/backends/internal/transfer"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
)

// rewrite uploads the disk beside the one that it replaces. libvirt has no request to
// copy a volume into one that exists, whose snapshots stay; a block copy of QEMU does that.
func (s *poolStorage) rewrite(ctx context.Context, name string, disk backends.Disk, report progress.Reporter) (err error) {
	p, err := s.pool(ctx, nil)
	if err != nil {
		return err
	}
	state, size, err := s.stateDisk(ctx, p, name)
	if err == nil {
		err = transfer.CheckSize(name, disk, size)
	}
	if err != nil {
		return err
	}
	restored := s.prefix(name) + "restored"
	if err := s.dropWritten(ctx, p, restored); err != nil { // what a crash left
		return err
	}
	from, err := s.receiveVolume(ctx, p, restored, disk, size, report)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.dropWritten(context.WithoutCancel(ctx), p, restored)) }()
	paths := [2]string{}
	for i, v := range []golibvirt.StorageVol{from, state} {
		if paths[i], err = s.path(ctx, v); err != nil {
			return err
		}
	}
	return refusal.DiskFull(s.b.copyInto(ctx, name, paths[0], paths[1], report))
}

// copyTarget is the name of the disk that is copied, in the domain that does it.
const copyTarget = "vda"

// copyInto gives a qcow2 the content of another one of the same virtual size, and leaves
// its snapshots. The domain that copies never runs, and goes with the connection that
// has made it: libvirtd ends it if this process does.
func (b *Backend) copyInto(ctx context.Context, name, from, to string, report progress.Reporter) (err error) {
	text, err := b.copyDomain(ctx, name, from)
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, b.limits.connect)
	defer cancel()
	c, err := connect(limited, b.link.dial, b.target.Remote)
	if err != nil {
		return err
	}
	defer c.close()
	// Cancelled in between, whether the domain is there would be unknown.
	dom, err := call(context.WithoutCancel(ctx), c, b.limits.start, func(l *golibvirt.Libvirt) (golibvirt.Domain, error) {
		return l.DomainCreateXML(text, golibvirt.DomainStartPaused|golibvirt.DomainStartAutodestroy)
	})
	if err != nil {
		return b.notCopied(name, err)
	}
	defer func() {
		_, gone := call(context.WithoutCancel(ctx), c, b.limits.start, func(l *golibvirt.Libvirt) (struct{}, error) {
			return struct{}{}, l.DomainDestroyFlags(dom, golibvirt.DomainDestroyDefault)
		})
		err = errors.Join(err, gone)
	}()
	target, err := (&libvirtxml.DomainDisk{
		Driver: &libvirtxml.DomainDiskDriver{Type: "qcow2", Discard: "unmap"},
		Source: &libvirtxml.DomainDiskSource{File: &libvirtxml.DomainDiskSourceFile{File: to}},
	}).Marshal()
	if err != nil {
		return err
	}
	_, err = call(ctx, c, b.limits.start, func(l *golibvirt.Libvirt) (struct{}, error) {
		return struct{}{}, l.DomainBlockCopy(dom, copyTarget, target, nil, golibvirt.DomainBlockCopyReuseExt)
	})
	if err == nil {
		err = b.awaitCopy(ctx, c, dom, report)
	}
	if err == nil { // the copy is complete: QEMU lets go of it, and has written all
		_, err = call(ctx, c, b.limits.start, func(l *golibvirt.Libvirt) (struct{}, error) {
			return struct{}{}, l.DomainBlockJobAbort(dom, copyTarget, 0)
		})
	}
	return b.notCopied(name, err)
}

// notCopied says what failed; nil stays nil.
func (b *Backend) notCopied(name string, err error) error {
	if err == nil || !isAnswer(err) {
		return err
	}
	return problem.New(problem.BackupFailed, "libvirt cannot copy the restored disk of %s into the present one: %s", name, backends.OneLine(err.Error())).
		WithHint("nixvmd restore %s brings back a snapshot; or restore the backup to a new machine: --as NAME", name)
}

// copyDomain defines the domain that copies a volume.
func (b *Backend) copyDomain(ctx context.Context, name, path string) (string, error) {
	caps, err := b.host(ctx)
	if err != nil {
		return "", err
	}
	virtType := "qemu"
	if emulatorFor(caps, virtType) == "" {
		virtType = "kvm"
	}
	x := libvirtxml.Domain{
		Type: virtType, Name: "nixvm-" + b.owner.ID + "-" + name + ".restored", UUID: uuid.NewString(),
		Title:  "nixvm restores the disk of " + name,
		Memory: &libvirtxml.DomainMemory{Value: 16, Unit: "MiB"},
		OS:     &libvirtxml.DomainOS{Type: &libvirtxml.DomainOSType{Arch: "x86_64", Machine: "q35", Type: "hvm"}},
		Devices: &libvirtxml.DomainDeviceList{
			Disks:      []libvirtxml.DomainDisk{disk(path, "qcow2", copyTarget)},
			Videos:     []libvirtxml.DomainVideo{{Model: libvirtxml.DomainVideoModel{Type: "none"}}},
			MemBalloon: &libvirtxml.DomainMemBalloon{Model: "none"},
		},
	}
	return x.Marshal()
}

// awaitCopy waits until all is copied, and reports how much is.
func (b *Backend) awaitCopy(ctx context.Context, c *conn, dom golibvirt.Domain, report progress.Reporter) error {
	tick := time.NewTicker(copyPause)
	defer tick.Stop()
	for {
		done, err := call(ctx, c, b.limits.call, func(l *golibvirt.Libvirt) (bool, error) {
			found, _, _, current, end, err := l.DomainGetBlockJobInfo(dom, copyTarget, 0)
			if err != nil {
				return false, err
			}
			if found == 0 {
				return false, golibvirt.Error{Code: uint32(golibvirt.ErrOperationFailed), Message: "the block copy has failed; is there room in the pool?"}
			}
			report.Report(progress.Update{Vertex: "disk", Message: "replacing the disk", Unit: "bytes", Current: int64(current), Total: int64(end)})
			x, err := definition(l, dom, 0)
			if err != nil || x.Devices == nil || len(x.Devices.Disks) == 0 {
				return false, err
			}
			m := x.Devices.Disks[0].Mirror
			return m != nil && m.Ready == "yes", nil
		})
		if err != nil || done {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// copyPause spaces the looks at a copy.
const copyPause = 200 * time.Millisecond
