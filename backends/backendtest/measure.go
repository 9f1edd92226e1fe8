package backendtest

import (
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// trims: what a guest writes takes space on its host, and what it deletes does not any more.
func (l *life) trims() {
	meter, ok := backends.As[backends.DiskMeter](l.b)
	if !ok {
		l.Skip("this backend does not measure disks")
	}
	measure := func(snapshots bool) backends.DiskUsage {
		l.Helper()
		u, err := meter.DiskUsage(l.limit(), backends.Named(l.name), snapshots)
		l.must(err, "DiskUsage")
		if u.Virtual != l.spec.DiskBytes || u.Used <= 0 || u.Snapshots > u.Used {
			l.Errorf("the disk of %d bytes is %+v", l.spec.DiskBytes, u)
		}
		return u
	}
	_, err := meter.DiskUsage(l.limit(), backends.Named("nosuch"), true)
	l.refused(err, problem.VMNotFound, "DiskUsage of no VM")
	before := measure(true)
	if l.h.Exec == nil || l.h.Renewed == nil {
		l.Log("this harness has no guest that writes")
		return
	}
	const mib, written = 1 << 20, 48
	file := l.h.StateDisk + "/trimmed"
	l.run(l.name, "dd if=/dev/urandom of="+file+" bs=1M count=48 conv=fsync 2>/dev/null")
	with := measure(false)
	l.run(l.name, "rm "+file+"; sync; fstrim "+l.h.StateDisk)
	after := measure(true)
	l.Logf("%d MiB, with the file %d, without it %d; snapshots %d, then %d", before.Used/mib, with.Used/mib, after.Used/mib, before.Snapshots/mib, after.Snapshots/mib)
	if with.Used < before.Used+(written-8)*mib || after.Used > with.Used-(written-8)*mib {
		t := "the disk takes %d MiB, with a file of %d MiB %d, and %d after that was deleted"
		l.Errorf(t, before.Used/mib, written, with.Used/mib, after.Used/mib)
	}
}
