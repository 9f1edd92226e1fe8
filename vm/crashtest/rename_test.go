package crashtest

import (
	"context"
	"slices"
	"testing"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/paths"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/vm"
)

func TestKillDuringRename(t *testing.T) {
	each(t, func(t *testing.T, kind string) { killDuringRename(t, kind, backends.Stopped, pointsOf(kind, "rename")) })
}

func TestKillDuringRenameOfARunningVM(t *testing.T) {
	each(t, func(t *testing.T, kind string) {
		killDuringRename(t, kind, backends.Running, pointsOf(kind, "rename-running"))
	})
}

// killDuringRename leaves the VM in its state, with its disk and snapshot, under one of the
// two names, and nothing of the other one.
func killDuringRename(t *testing.T, kind string, state backends.State, points []ends) {
	h := newHouse(t, kind)
	h.open(func(s *vm.Service) {
		h.must(s, verbs["create"])
		h.write(s, "precious")
		h.must(s, func(ctx context.Context, s *vm.Service) (api.Operation, error) {
			return s.CreateSnapshot(ctx, "demo", "first", "", "test")
		})
		if state == backends.Stopped {
			h.must(s, func(ctx context.Context, s *vm.Service) (api.Operation, error) { return s.Stop(ctx, "demo", 0, "test") })
		}
	})
	layout := paths.Under(h.home)
	for _, p := range points {
		h.crash(p.point)
		h.open(func(s *vm.Service) {
			name, other := "demo", "copy"
			if p.outcome == finished {
				name, other = other, name
			}
			if _, err := s.Get(other); !problem.HasCode(err, problem.MachineNotFound) {
				t.Errorf("%s: %s is still known: %v", p, other, err)
			}
			v, err := s.Get(name)
			list, serr := s.Snapshots(context.Background(), name)
			if err != nil || serr != nil || v.State != state || v.Problem != nil || len(list) != 1 {
				t.Fatalf("%s: it is %+v with %v; %v, %v", p, v, list, err, serr)
			}
			for _, dir := range []string{layout.Machines(), layout.VMs(), layout.Records(), layout.Journal()} {
				if names := h.entries(dir); len(names) > 1 || dir == layout.Journal() && len(names) > 0 {
					t.Errorf("%s: %s holds %v", p, dir, names)
				}
			}
			if state == backends.Stopped && h.kind.real {
				if left := h.left(); len(left) > 0 {
					t.Errorf("%s: VMs are left: %v", p, left)
				}
			} else if got := h.read(s, name); got != "precious" || h.kind.real && h.guest(s, name, "hostname") != name {
				t.Errorf("%s: it has %q, or another host name", p, got)
			}
			if left := h.left(); !h.kind.real && !slices.Equal(left, []string{name}) {
				t.Errorf("%s: VMs are left: %v", p, left)
			}
			if p.outcome == finished {
				h.must(s, func(ctx context.Context, s *vm.Service) (api.Operation, error) {
					return s.Rename(ctx, api.RenameParams{Name: name, NewName: other, Confirm: name})
				})
			}
		})
	}
}
