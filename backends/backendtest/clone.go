package backendtest

import (
	"context"
	"strings"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// testClone needs no boot: clones of a VM that has never run.
func testClone(s *suite) {
	const source, name = "conf-source", "conf-clone"
	from := backends.Source{VM: backends.Named(source)}
	spec := s.h.Spec(s.T, name)
	if !s.can.Clone {
		s.Skip("this backend cannot clone")
	}
	s.refused(s.cloner().Clone(s.limit(), from, spec, nil), problem.VMNotFound, "Clone of a VM that does not exist")
	first := s.create(source)
	s.snapshot(source, backends.SnapshotRequest{Name: "1"})
	s.refuseClones(from, spec)

	mark := s.events.mark()
	spec.DiskBytes = first.DiskBytes * 2
	s.must(s.cloner().Clone(s.limit(), from, spec, nil), "Clone")
	s.destroyAtEnd(name)
	s.becomes(mark, name, backends.Stopped)
	s.state(name, backends.Stopped)
	s.snapshotNames(name)
	s.snapshotNames(source, "1")
	s.refused(s.cloner().Clone(s.limit(), from, spec, nil), problem.VMExists, "Clone to a name in use")

	clones := []string{name}
	const second = "conf-second"
	err := s.cloner().Clone(s.limit(), backends.Source{VM: backends.Named(source), Snapshot: "1"}, s.h.Spec(s.T, second), nil)
	if s.can.CloneSnapshot {
		s.must(err, "Clone of a snapshot")
		s.destroyAtEnd(second)
		clones = append(clones, second)
	} else {
		s.refused(err, problem.Unsupported, "Clone of a snapshot")
		s.state(second, backends.Absent)
	}
	s.must(s.b.Destroy(s.limit(), backends.Named(source)), "Destroy of the source")
	s.reopen()
	for _, clone := range clones {
		s.state(clone, backends.Stopped)
		s.snapshotNames(clone)
	}
	smaller := spec
	smaller.DiskBytes = first.DiskBytes
	s.refused(s.b.Start(s.limit(), smaller), problem.SizeInvalid, "Start of a clone with a smaller disk than it was made with")
}

// refuseClones checks that what cannot be cloned is refused, and leaves nothing.
func (s *suite) refuseClones(from backends.Source, spec backends.Spec) {
	s.Helper()
	cancelled, cancel := context.WithCancel(s.ctx)
	cancel()
	if err := s.cloner().Clone(cancelled, from, spec, nil); err == nil {
		s.Errorf("Clone with a cancelled context succeeds")
	}
	smaller, itself, bad, mutable := spec, spec, spec, spec
	smaller.DiskBytes /= 2
	itself.Name = from.VM.Name
	bad.Name = "../x"
	mutable.Mutable = !spec.Mutable
	s.refused(s.cloner().Clone(s.limit(), from, smaller, nil), problem.SizeInvalid, "Clone with a smaller disk")
	s.refused(s.cloner().Clone(s.limit(), from, itself, nil), problem.VMExists, "Clone to its own name")
	s.refused(s.cloner().Clone(s.limit(), from, bad, nil), problem.MachineNameInvalid, "Clone to a bad name")
	s.refused(s.cloner().Clone(s.limit(), from, mutable, nil), problem.ModeUnsupported, "Clone in another mode")
	s.refused(s.cloner().Clone(s.limit(), backends.Source{VM: backends.Named("../x")}, spec, nil), problem.MachineNameInvalid, "Clone of a bad name")
	s.refused(s.cloner().Clone(s.limit(), backends.Source{VM: backends.Named(from.VM.Name), Snapshot: "nosuch"}, spec, nil), problem.SnapshotNotFound, "Clone of a snapshot that does not exist")
	s.state(spec.Name, backends.Absent)
	s.state(from.VM.Name, backends.Stopped)
}

// cloneThen is the name of a clone of the snapshot "live".
const cloneThen = "conf-then"

// clonesLive reports whether the backend clones VMs that run.
func (l *life) clonesLive() bool { return l.can.CloneSnapshot && l.can.LiveSnapshot }

// cloneLive makes a clone of the snapshot "live" while the guest, which has "two" in the
// file by now, runs.
func (l *life) cloneLive() {
	if !l.clonesLive() {
		l.Skip("this backend clones no VMs that run")
	}
	l.then = l.clone(cloneThen, "live")
	l.state(l.name, backends.Running)
	if l.h.Exec != nil {
		l.run(l.name, "echo two > "+l.file()+"; sync")
	}
}

// clone makes a clone with a disk of twice the size.
func (l *life) clone(name, snapshot string) backends.Spec {
	l.Helper()
	spec := l.h.Spec(l.T, name)
	spec.DiskBytes = l.spec.DiskBytes * 2
	from := backends.Source{VM: backends.Named(l.name), Snapshot: snapshot}
	l.must(l.cloner().Clone(l.limit(), from, spec, nil), "Clone")
	return spec
}

// clones boots two clones: one of the disk as it is now that the VM is off, with "two" in
// the file, and one of the snapshot "live", with "one".
func (l *life) clones() {
	if !l.can.Clone {
		l.Skip("this backend cannot clone")
	}
	want := map[string]string{"conf-now": "two"}
	specs := []backends.Spec{l.clone("conf-now", "")}
	l.destroyAtEnd("conf-now")
	if l.clonesLive() {
		want[cloneThen] = "one"
		specs = append(specs, l.then)
	}
	for _, spec := range specs {
		l.must(l.b.Start(l.limit(), spec), "Start of a clone")
	}
	if l.h.Exec == nil {
		return
	}
	for name, content := range want {
		if got := strings.TrimSpace(l.run(name, "hostname")); got != name {
			l.Errorf("the clone %s calls itself %q", name, got)
		}
		if got := strings.TrimSpace(l.run(name, "cat "+l.file()+" && echo changed > "+l.file()+" && sync")); got != content {
			l.Errorf("the file of the clone %s holds %q, want %q", name, got, content)
		}
	}
	for name := range want {
		if got := strings.TrimSpace(l.run(name, "cat "+l.file())); got != "changed" {
			l.Errorf("the clone %s does not keep what is written: %q", name, got)
		}
	}
}
