package backendtest

import (
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// growLive enlarges the disk of the running VM, with the snapshots in it. The restore
// that follows brings the former size back.
func (l *life) growLive() {
	grower, ok := backends.As[backends.DiskGrower](l.b)
	if !ok {
		l.Skip("the disk of a running VM does not grow on this backend")
	}
	vm := backends.Named(l.name)
	before, larger := l.spec.DiskBytes, l.spec.DiskBytes+l.spec.DiskBytes/2
	l.refused(grower.GrowDisk(l.limit(), vm, before/2), problem.SizeInvalid, "GrowDisk to a smaller size")
	l.refused(grower.GrowDisk(l.limit(), backends.Named("nosuch"), larger), problem.VMNotFound, "GrowDisk of no VM")
	l.must(grower.GrowDisk(l.limit(), vm, before), "GrowDisk to the size that it has")
	for range 2 {
		l.must(grower.GrowDisk(l.limit(), vm, larger), "GrowDisk")
	}
	l.spec.DiskBytes = larger
	l.kept()
	l.refused(grower.GrowDisk(l.limit(), vm, before), problem.SizeInvalid, "GrowDisk back")
	if l.can.LiveSnapshot {
		l.snapshotNames(l.name, "live")
	}
	files, ok := backends.As[backends.FileSystemGrower](l.b)
	if !ok {
		l.Log("its guest extends its file system at its next boot only")
		return
	}
	if l.h.Exec == nil {
		l.Log("this harness has no guest that extends its file system")
		return
	}
	l.must(files.GrowFileSystem(l.limit(), vm, larger), "GrowFileSystem")
	if got := l.sizeInGuest(); got < larger*3/4 {
		l.Errorf("%s has %d bytes on a disk of %d: the guest has not grown it", l.h.StateDisk, got, larger)
	}
	l.state(l.name, backends.Running)
}

// growStopped: it is for VMs that run.
func (l *life) growStopped() {
	if grower, ok := backends.As[backends.DiskGrower](l.b); ok {
		l.refused(grower.GrowDisk(l.limit(), backends.Named(l.name), 2*l.spec.DiskBytes), problem.VMNotRunning, "GrowDisk of a stopped VM")
	}
	if files, ok := backends.As[backends.FileSystemGrower](l.b); ok {
		l.refused(files.GrowFileSystem(l.limit(), backends.Named(l.name), l.spec.DiskBytes), problem.VMNotRunning, "GrowFileSystem of a stopped VM")
	}
}
