package backendtest

import (
	"context"

	"github.com/google/uuid"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// calls are all that are refused where there is no such VM, by their names. spec is one
// of that VM.
func (s *suite) calls(ctx context.Context, ref backends.Ref, spec backends.Spec) map[string]func() error {
	calls := map[string]func() error{
		"Start":    func() error { return s.b.Start(ctx, spec) },
		"Shutdown": func() error { return s.b.Shutdown(ctx, ref) },
		"Kill":     func() error { return s.b.Kill(ctx, ref) },
		"Endpoint": func() error { _, err := s.b.Endpoint(ctx, ref); return err },
	}
	if k, ok := backends.As[backends.Keeper](s.b); ok {
		calls["Kept"] = func() error { _, err := k.Kept(ctx, ref); return err }
	}
	if s.snapshots() {
		t := s.snapshotter()
		calls["Snapshots"] = func() error { _, err := t.Snapshots(ctx, ref); return err }
		calls["CreateSnapshot"] = func() error {
			_, err := t.CreateSnapshot(ctx, ref, backends.SnapshotRequest{Name: "a", PowerOff: true})
			return err
		}
		calls["RestoreSnapshot"] = func() error { return t.RestoreSnapshot(ctx, ref, "a") }
		calls["DeleteSnapshot"] = func() error { return t.DeleteSnapshot(ctx, ref, "a") }
	}
	if s.can.Suspend {
		calls["Suspend"] = func() error { return s.suspender().Suspend(ctx, ref) }
		calls["Resume"] = func() error { return s.suspender().Resume(ctx, ref) }
	}
	if r, ok := backends.As[backends.IdentityRenewer](s.b); ok {
		calls["RenewIdentity"] = func() error {
			_, err := r.RenewIdentity(ctx, ref, backends.Identity{Medium: spec.Identity, Generation: 1})
			return err
		}
	}
	if c, ok := backends.As[backends.ClockKeeper](s.b); ok {
		calls["SyncClock"] = func() error { _, err := c.SyncClock(ctx, ref); return err }
	}
	if n, ok := backends.As[backends.NetworkReporter](s.b); ok {
		calls["NetworkUsage"] = func() error { _, err := n.NetworkUsage(ctx, ref); return err }
	}
	if w, ok := backends.As[backends.ImageSwapper](s.b); ok {
		calls["SwapImage"] = func() error { return w.SwapImage(ctx, spec) }
	}
	if s.can.Console {
		calls["Console"] = func() error { _, err := as[backends.Console](s).Console(ctx, ref); return err }
	}
	if s.can.Autostart {
		calls["SetAutostart"] = func() error { return as[backends.Autostarter](s).SetAutostart(ctx, ref, true) }
	}
	if s.can.Migrate {
		calls["PlanMigration"] = func() error { _, err := as[backends.Migrator](s).PlanMigration(ctx, spec, s.b); return err }
	}
	if s.can.Clone {
		calls["Clone"] = func() error {
			copied := s.h.Spec(s.T, "conf-copy")
			s.prepare(copied.Image)
			return s.cloner().Clone(ctx, backends.Source{VM: ref}, copied, nil)
		}
	}
	return calls
}

// namesake checks that nothing which is asked of another VM touches the one that has its
// name: a VM of spec, which is in state want.
func (s *suite) namesake(spec backends.Spec, want backends.State) {
	s.Helper()
	ctx := s.limit()
	other := spec
	other.UUID = uuid.NewString()
	for what, call := range s.calls(ctx, other.Ref(), other) {
		s.refused(call(), problem.VMNotFound, what+" of a VM whose name is another one's")
	}
	s.refused(s.b.Create(ctx, other, nil), problem.VMExists, "Create of a VM whose name is another one's")
	s.must(s.b.Destroy(ctx, other.Ref()), "Destroy of a VM whose name is another one's")
	if st, err := s.b.Status(ctx, other.Ref()); err != nil || st.State != backends.Absent {
		s.Errorf("Status of a VM whose name is another one's: %+v, %v", st, err)
	}
	st, err := s.b.Status(ctx, spec.Ref())
	if err != nil || st.State != want || st.UUID != spec.UUID {
		s.Errorf("after all that was asked of its namesake: %+v, %v, want %s", st, err, want)
	}
	s.state(spec.Name, want)
	s.state("conf-copy", backends.Absent)
	if s.snapshots() {
		if list, err := s.snapshotter().Snapshots(ctx, spec.Ref()); err != nil || len(list) != 0 {
			s.Errorf("snapshots that were asked of its namesake: %+v, %v", list, err)
		}
	}
}
