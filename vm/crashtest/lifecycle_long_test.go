//go:build long

package crashtest

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/paths"
	"github.com/nixvm/nixvm/vm"
)

// killDuringUpgrade leaves the former image, with the disk and its snapshot.
func killDuringUpgrade(t *testing.T, kind string, points []ends) {
	h := newHouse(t, kind)
	h.open(func(s *vm.Service) {
		h.must(s, verbs["create"])
		h.write(s, "precious")
		h.must(s, func(ctx context.Context, s *vm.Service) (api.Operation, error) {
			return s.CreateSnapshot(ctx, "demo", "first", "", "test")
		})
		if _, err := s.Configure(context.Background(), api.ConfigureParams{Name: "demo", Profiles: []string{"dev"}}, "test"); err != nil {
			t.Fatal(err)
		}
	})
	for _, p := range points {
		h.crash(p.point)
		h.open(func(s *vm.Service) {
			v, snapshots := h.state(s)
			if v.State != backends.Running || v.Problem != nil || v.Generation != 1 {
				t.Errorf("%s: the VM is %+v", p, v)
			}
			if got := h.read(s, "demo"); got != "precious" || !slices.Equal(snapshots, []string{"first"}) {
				t.Errorf("%s: the file has %q, and there are the snapshots %v", p, got, snapshots)
			}
		})
	}
	h.open(func(s *vm.Service) { // all that was begun is no obstacle to another one
		h.must(s, verbs["upgrade"])
		if v, snapshots := h.state(s); v.Generation != 2 || h.read(s, "demo") != "precious" || len(snapshots) != 1 {
			t.Errorf("after an upgrade: %+v, snapshots %v", v, snapshots)
		}
	})
}

// killDuringBackup leaves a whole archive or none, the VM as it was, or as it was in the
// backup, and the first snapshot in any case.
func killDuringBackup(t *testing.T, kind string, points []ends) {
	h := newHouse(t, kind)
	h.open(func(s *vm.Service) {
		h.must(s, verbs["create"])
		h.write(s, "precious")
		h.must(s, func(ctx context.Context, s *vm.Service) (api.Operation, error) {
			return s.CreateSnapshot(ctx, "demo", "first", "", "test")
		})
		h.must(s, verbs["backup"])
		h.write(s, "today")
	})
	archives := 1
	for _, p := range points {
		h.crash(p.point)
		h.open(func(s *vm.Service) {
			if p.verb == "backup" && p.outcome == finished {
				archives++
			}
			files, v := h.entries(paths.Under(h.home).Backups()), h.running(s, p)
			if len(files) != archives || slices.ContainsFunc(files, func(name string) bool { return strings.HasPrefix(name, ".") }) {
				t.Errorf("%s: the backups are %v, want %d", p, files, archives)
			}
			content := h.read(s, "demo")
			restored := p.verb == "restore-backup" && content == "precious"
			if !restored && content != "today" || p.outcome == undone && restored || p.verb == "restore-backup" && p.outcome == finished && !restored {
				t.Errorf("%s: the file of %s has %q", p, v.Name, content)
			}
			h.write(s, "today")
		})
	}
}

// running checks that demo runs and has the snapshot "first", and deletes others, of which
// a restore may leave one.
func (h *house) running(s *vm.Service, p ends) vm.VM {
	h.t.Helper()
	v, snapshots := h.state(s)
	if v.State != backends.Running || v.Problem != nil || !slices.Contains(snapshots, "first") || len(snapshots) > 1 && (len(snapshots) > 2 || p.verb != "restore-backup") {
		h.t.Errorf("%s: the VM is %+v, snapshots %v", p, v, snapshots)
	}
	for _, name := range snapshots {
		if name != "first" {
			h.must(s, func(ctx context.Context, s *vm.Service) (api.Operation, error) {
				return s.DeleteSnapshot(ctx, "demo", name, "test")
			})
		}
	}
	return v
}
