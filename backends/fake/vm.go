package fake

import (
	"context"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/boot"
	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
)

// do is every mutating method of the interface: what a test wants to go wrong, the
// request, and what has become of its answer.
func (b *Backend) do(ctx context.Context, r request) error {
	if err := names.Machine(r.Name); err != nil {
		return err
	}
	if b.config.Fault != nil {
		if err := b.config.Fault(r.Method, r.Name); err != nil {
			return err
		}
	}
	if err := b.carryOut(ctx, r); err != nil {
		return err
	}
	if b.config.Lost == nil {
		return nil
	}
	return b.config.Lost(r.Method, r.Name)
}

// carryOut has a request done, here or there.
func (b *Backend) carryOut(ctx context.Context, r request) error {
	if b.cluster != nil {
		return b.cluster.do(ctx, r)
	}
	if err := ctx.Err(); err != nil && r.makes() {
		return err
	}
	return b.node.apply(r)
}

// List returns all guests.
func (b *Backend) List(ctx context.Context) ([]backends.Status, error) {
	if b.cluster != nil {
		return b.cluster.list(ctx)
	}
	return b.node.list()
}

// Status of one guest.
func (b *Backend) Status(ctx context.Context, ref backends.Ref) (st backends.Status, err error) {
	if err := names.Machine(ref.Name); err != nil {
		return st, err
	}
	if b.cluster != nil {
		st, err = b.cluster.status(ctx, ref.Name)
	} else {
		st, err = b.node.status(ref.Name)
	}
	if err == nil && !ref.Is(st.UUID) {
		return backends.Status{Name: ref.Name, State: backends.Absent}, nil
	}
	return st, err
}

// Create makes a stopped guest.
func (b *Backend) Create(ctx context.Context, spec backends.Spec, report progress.Reporter) error {
	return b.place(ctx, realises("create", spec), report)
}

// Clone makes a stopped guest with the content of another one.
func (b *Backend) Clone(ctx context.Context, from backends.Source, spec backends.Spec, report progress.Reporter) error {
	if err := names.Machine(from.VM.Name); err != nil {
		return err
	}
	r := realises("clone", spec)
	r.From = &from
	return b.place(ctx, r, report)
}

func (b *Backend) place(ctx context.Context, r request, report progress.Reporter) error {
	if err := backends.CheckSpec(b, *r.Spec); err != nil {
		return err
	}
	if err := b.boots(r.Spec); err != nil {
		return err
	}
	if err := b.checkUploaded(r.Spec.Image.ID); err != nil {
		return err
	}
	report.Report(progress.Update{Vertex: "disk", Current: 1, Total: 1})
	return b.do(ctx, r)
}

// boots decides how a guest boots. A cluster knows disks only.
func (b *Backend) boots(s *backends.Spec) (err error) {
	choose := boot.Choose
	if b.cluster != nil {
		choose = boot.Loader
	}
	s.Image, err = choose(*s)
	return err
}

// Destroy removes a guest.
func (b *Backend) Destroy(ctx context.Context, ref backends.Ref) error {
	return b.end(ctx, about("destroy", ref))
}

// end is do for what ends a guest: its SSH server goes, too.
func (b *Backend) end(ctx context.Context, r request) error {
	err := b.do(ctx, r)
	st, serr := b.node.status(r.Name)
	if serr == nil && st.State != backends.Running {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.hangUp(r.Name)
	}
	return err
}

// Start runs a guest.
func (b *Backend) Start(ctx context.Context, spec backends.Spec) error {
	if err := backends.CheckSpec(b, spec); err != nil {
		return err
	}
	if err := b.config.Limit.Check(spec); err != nil {
		return err
	}
	if _, err := b.read(ctx, spec.Ref()); err != nil {
		return err
	}
	if err := b.boots(&spec); err != nil {
		return err
	}
	if err := b.checkUploaded(spec.Image.ID); err != nil && !spec.Mutable {
		return err
	}
	return b.do(ctx, realises("start", spec))
}

// SwapImage gives a guest that is off another image.
func (b *Backend) SwapImage(ctx context.Context, spec backends.Spec) error {
	if err := backends.CheckSpec(b, spec); err != nil {
		return err
	}
	if _, err := b.read(ctx, spec.Ref()); err != nil {
		return err
	}
	if err := backends.CheckImage(spec.Image); err != nil {
		return err
	}
	if err := b.checkUploaded(spec.Image.ID); err != nil {
		return err
	}
	return b.do(ctx, realises("swap-image", spec))
}

// Shutdown stops a guest.
func (b *Backend) Shutdown(ctx context.Context, ref backends.Ref) error {
	if st, err := b.Status(ctx, ref); err == nil && st.State == backends.Unknown {
		return problem.New(problem.BackendUnreachable, "%s is out of reach", ref.Name).WithHint("use its SSH")
	}
	return b.end(ctx, about("shutdown", ref))
}

// Kill stops a guest.
func (b *Backend) Kill(ctx context.Context, ref backends.Ref) error {
	return b.end(ctx, about("kill", ref))
}

// Suspend a guest.
func (b *Backend) Suspend(ctx context.Context, ref backends.Ref) error {
	return b.do(ctx, about("suspend", ref))
}

// Resume a guest, and set its clock.
func (b *Backend) Resume(ctx context.Context, ref backends.Ref) error {
	err := b.do(ctx, about("resume", ref))
	if err == nil {
		b.FallBehind(ref.Name, -b.Behind(ref.Name))
	}
	return err
}

// AutostartDefault is what SetAutostartDefault was given.
func (b *Backend) AutostartDefault() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.starts
}

// SetAutostart notes what it is told.
func (b *Backend) SetAutostart(ctx context.Context, ref backends.Ref, on bool) error {
	return b.do(ctx, request{Method: "autostart", Name: ref.Name, UUID: ref.UUID, On: on})
}

// Kept tells what the spec said at the last start. A remote backend has no identity
// medium to show, and knows no file of this host.
func (b *Backend) Kept(ctx context.Context, ref backends.Ref) (backends.Kept, error) {
	g, err := b.read(ctx, ref)
	if err != nil {
		return backends.Kept{}, err
	}
	if b.cluster != nil {
		g.Kept.ImageDisk = ""
		return g.Kept, nil
	}
	g.Kept.Identity, err = g.Medium.unpack()
	return g.Kept, err
}

// read returns a guest, over the way to it.
func (b *Backend) read(ctx context.Context, ref backends.Ref) (*guest, error) {
	if b.cluster != nil {
		if err := b.cluster.trip(ctx); err != nil {
			return nil, err
		}
	}
	b.node.mu.Lock()
	defer b.node.mu.Unlock()
	g, err := b.node.load(ref.Name)
	if err == nil && (g == nil || !ref.Is(g.Kept.UUID)) {
		err = noVM(ref.Name)
	}
	return g, err
}

// Snapshots of a guest.
func (b *Backend) Snapshots(ctx context.Context, ref backends.Ref) ([]backends.Snapshot, error) {
	g, err := b.read(ctx, ref)
	if err != nil {
		return nil, err
	}
	list := make([]backends.Snapshot, 0, len(g.Snapshots))
	for _, s := range g.Snapshots {
		list = append(list, s.Snapshot)
	}
	return list, nil
}

// CreateSnapshot keeps the content.
func (b *Backend) CreateSnapshot(ctx context.Context, ref backends.Ref, req backends.SnapshotRequest) (backends.Snapshot, error) {
	made := backends.Snapshot{Name: req.Name, Description: req.Description, Created: time.Now(), Frozen: true}
	if err := names.Snapshot(req.Name); err != nil {
		return made, err
	}
	return made, b.end(ctx, request{Method: "snapshot", Name: ref.Name, UUID: ref.UUID, Snapshot: &made, PowerOff: req.PowerOff})
}

// RestoreSnapshot brings the content back.
func (b *Backend) RestoreSnapshot(ctx context.Context, ref backends.Ref, snap string) error {
	return b.do(ctx, request{Method: "restore", Name: ref.Name, UUID: ref.UUID, Snapshot: &backends.Snapshot{Name: snap}})
}

// DeleteSnapshot forgets one.
func (b *Backend) DeleteSnapshot(ctx context.Context, ref backends.Ref, snap string) error {
	return b.do(ctx, request{Method: "delete-snapshot", Name: ref.Name, UUID: ref.UUID, Snapshot: &backends.Snapshot{Name: snap}})
}
