package crashtest

import (
	"context"
	"slices"
	"testing"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/paths"
	"github.com/nixvm/nixvm/vm"
)

// outcome is how an operation that was interrupted ends: it is undone, or finished.
type outcome int

const (
	undone outcome = iota
	finished
	either // the daemon cannot know how far it was, and may do one or the other
)

// ends is what is true at a point.
type ends struct {
	point
	outcome
}

// steps are the points at which an operation enters a step.
func steps(verb string, o outcome, names ...string) []ends {
	var list []ends
	for _, step := range names {
		list = append(list, ends{point{verb: verb, step: step}, o})
	}
	return list
}

// methods are the points at which a backend has carried out a method. A real one cannot
// be stopped there.
func methods(verb string, o outcome, names ...string) []ends {
	var list []ends
	for _, method := range names {
		list = append(list, ends{point{verb: verb, method: method}, o})
	}
	return list
}

// pointsOf are all points of a verb with a kind of guest.
func pointsOf(kind, verb string) []ends {
	var list []ends
	switch verb {
	case "create":
		list = slices.Concat(steps(verb, undone, "image", "disks", "ssh", "start"), steps(verb, finished, "ready"))
	case "clone":
		list = slices.Concat(steps(verb, undone, "declare", "disks", "ssh", "start"), steps(verb, finished, "ready"))
	case "clone-running":
		list = slices.Concat(steps(verb, undone, "declare", "snapshot", "disks", "release", "ssh", "start"), steps(verb, finished, "ready"))
	case "snapshot":
		list = steps(verb, undone, "snapshot")
	case "restore-snapshot":
		list = slices.Concat(steps(verb, undone, "safety", "restore"), steps(verb, finished, "start"))
	case "recreate":
		list = slices.Concat(steps(verb, undone, "image", "shutdown", "shelve", "disks", "start", "ready"), steps(verb, finished, "keep"))
	case "upgrade":
		list = steps(verb, undone, "image", "shutdown", "switch", "start", "ready", "health")
	case "backup":
		list = slices.Concat(steps(verb, undone, "snapshot", "write", "verify", "publish"), steps(verb, finished, "drop"))
	case "restore-backup":
		list = slices.Concat(steps(verb, undone, "safety", "restore"), steps(verb, finished, "start"))
	case "rename":
		list = slices.Concat(steps(verb, undone, "machine", "vm", "names"), steps(verb, finished, "free"))
	case "rename-running":
		list = slices.Concat(steps(verb, undone, "shutdown", "machine", "vm", "names"), steps(verb, finished, "free", "start", "ready"))
	case "destroy":
		list = steps(verb, finished, "disks")
	}
	if kind == qemuGuest {
		return list
	}
	switch verb {
	case "create":
		list = append(list, methods(verb, undone, "create")...)
		list = append(list, methods(verb, either, "start")...)
	case "clone":
		list = append(list, methods(verb, undone, "clone")...)
		list = append(list, methods(verb, either, "start")...)
	case "clone-running":
		list = append(list, methods(verb, undone, "snapshot", "clone", "delete-snapshot")...)
		list = append(list, methods(verb, either, "start")...)
	case "snapshot":
		list = append(list, methods(verb, either, "snapshot")...)
	case "restore-snapshot":
		list = append(list, methods(verb, either, "snapshot", "restore", "start")...)
	case "recreate": // before the last step, which ends it
		list = append(methods(verb, undone, "shutdown", "shelve", "create", "start"), list...)
	case "rename":
		list = append(list, methods(verb, undone, "rename")...)
	case "rename-running":
		list = append(list, methods(verb, undone, "shutdown", "rename")...)
		list = append(list, methods(verb, finished, "start")...)
	case "destroy":
		list = append(list, methods(verb, finished, "destroy")...)
	}
	if kind == remoteFake && verb == "create" {
		list = append(list, steps(verb, undone, "upload")...)
	}
	return list
}

// killDuringCreate leaves nothing, or a whole machine.
func killDuringCreate(t *testing.T, kind string, points []ends) {
	for _, p := range points {
		t.Run(p.String(), func(t *testing.T) {
			h := newHouse(t, kind)
			h.crash(p.point)
			h.open(func(s *vm.Service) {
				if p.outcome == undone || p.outcome == either && len(s.List()) == 0 {
					h.nothing(s)
					return
				}
				h.wholeDemo(s)
			})
		})
	}
}

// wholeDemo checks that demo runs, and can be used.
func (h *house) wholeDemo(s *vm.Service) {
	h.t.Helper()
	if v, _ := h.state(s); v.State != backends.Running || !v.Ready {
		h.t.Errorf("the create was not finished: %+v", v)
	}
	h.write(s, "mine")
	if got := h.read(s, "demo"); got != "mine" {
		h.t.Errorf("the guest reads %q", got)
	}
}

// killDuringClone leaves the source as it was, and nothing or a whole clone.
func killDuringClone(t *testing.T, kind string, state backends.State, points []ends) {
	h := newHouse(t, kind)
	h.open(func(s *vm.Service) {
		h.must(s, verbs["create"])
		h.write(s, "precious")
		if state == backends.Stopped {
			h.must(s, func(ctx context.Context, s *vm.Service) (api.Operation, error) { return s.Stop(ctx, "demo", 0, "test") })
		}
	})
	layout := paths.Under(h.home)
	for _, p := range points {
		h.crash(p.point)
		h.open(func(s *vm.Service) {
			if v, snapshots := h.state(s); v.State != state || v.Operation != nil || len(snapshots) > 0 {
				t.Errorf("%s: the source is %+v, snapshots %v", p, v, snapshots)
			}
			if p.outcome == finished || p.outcome == either && len(s.List()) == 2 {
				v, err := s.Get("copy")
				if err != nil || v.State != backends.Running || h.read(s, "copy") != "precious" {
					t.Errorf("%s: the clone is %+v, %v", p, v, err)
				}
				if h.kind.real && h.guest(s, "copy", "hostname") != "copy" {
					t.Errorf("%s: the clone has another name", p)
				}
				h.must(s, func(ctx context.Context, s *vm.Service) (api.Operation, error) {
					return s.Purge(ctx, "copy", "copy", "test")
				})
			}
			for _, dir := range []string{layout.Machines(), layout.VMs(), layout.Records(), layout.Journal()} {
				if names := h.entries(dir); len(names) > 1 || dir == layout.Journal() && len(names) > 0 {
					t.Errorf("%s: %s holds %v", p, dir, names)
				}
			}
			if left := h.left(); slices.Contains(left, "copy") || h.kind.real && state == backends.Stopped && len(left) > 0 {
				t.Errorf("%s: VMs are left: %v", p, left)
			}
		})
	}
}

// killDuringSnapshots leaves the disk as it was, or as it was in the snapshot, and the
// first snapshot in any case. A destroy, the last point, is finished.
func (h *house) killDuringSnapshots(points []ends) {
	t := h.t
	h.open(func(s *vm.Service) {
		if len(s.List()) == 0 {
			h.must(s, verbs["create"])
		}
		h.write(s, "precious")
		h.must(s, func(ctx context.Context, s *vm.Service) (api.Operation, error) {
			return s.CreateSnapshot(ctx, "demo", "first", "", "test")
		})
		h.write(s, "today")
	})
	for _, p := range points {
		h.crash(p.point)
		h.open(func(s *vm.Service) {
			if p.verb == "destroy" {
				h.nothing(s)
				return
			}
			v, snapshots := h.state(s)
			if v.State != backends.Running {
				t.Errorf("%s: the VM is %s", p, v.State)
			}
			content := h.read(s, "demo")
			restored := p.verb == "restore-snapshot" && content == "precious"
			if !restored && content != "today" || p.outcome == undone && restored || p.outcome == finished && !restored {
				t.Errorf("%s: the file has %q (snapshots %v)", p, content, snapshots)
			}
			if !slices.Contains(snapshots, "first") {
				t.Errorf("%s: the snapshots are %v", p, snapshots)
			}
			if slices.Contains(snapshots, "second") {
				h.must(s, func(ctx context.Context, s *vm.Service) (api.Operation, error) {
					return s.DeleteSnapshot(ctx, "demo", "second", "test")
				})
			}
			h.write(s, "today")
		})
	}
}

// killDuringRecreate leaves the former VM with its disk and its snapshot, or a new one.
func killDuringRecreate(t *testing.T, kind string, points []ends) {
	h := newHouse(t, kind)
	h.open(func(s *vm.Service) {
		h.must(s, verbs["create"])
		h.write(s, "precious")
		h.must(s, func(ctx context.Context, s *vm.Service) (api.Operation, error) {
			return s.CreateSnapshot(ctx, "demo", "first", "", "test")
		})
	})
	for _, p := range points {
		h.crash(p.point)
		h.open(func(s *vm.Service) {
			v, snapshots := h.state(s)
			if v.State != backends.Running || v.Problem != nil {
				t.Errorf("%s: the VM is %+v", p, v)
			}
			if p.outcome == finished {
				if len(snapshots) > 0 || h.kind.real && h.guest(s, "demo", "ls") != "" || !h.kind.real && h.read(s, "demo") != "" {
					t.Errorf("%s: the new VM has something of the former one, and the snapshots %v", p, snapshots)
				}
				h.write(s, "again")
				return
			}
			if got := h.read(s, "demo"); got != "precious" || !slices.Equal(snapshots, []string{"first"}) {
				t.Errorf("%s: the file has %q, and there are the snapshots %v", p, got, snapshots)
			}
			if left := h.left(); len(left) != 1 {
				t.Errorf("%s: VMs are left: %v", p, left)
			}
		})
	}
}
