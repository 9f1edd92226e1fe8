package proxmox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/backends/internal/snapshots"
	"github.com/nixvm/nixvm/backends/proxmox/pve"
	"github.com/nixvm/nixvm/internal/names"
)

// snapshot is one of a VM, as the server lists it.
type snapshot struct {
	Name        string // that of the server
	Description string
	Parent      string
	SnapTime    int64
	SnapState   string // not empty: it is half made, or half deleted

	record snapshotRecord
}

// snapshotRecord is what the description of a snapshot says beside the user's own.
type snapshotRecord struct {
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
	Frozen  bool      `json:"frozen"`
}

const snapshotLine = "nixvm-snapshot: "

// described puts a snapshot's record behind the description of the user.
func (r snapshotRecord) described(text string) string {
	line, err := json.Marshal(r)
	if err != nil {
		line = []byte("{}") // a string, a time and a boolean: there is no error
	}
	return text + "\n" + snapshotLine + string(line)
}

// read takes the record off the description. A snapshot that another program has taken has
// none.
func (s *snapshot) read() {
	s.record = snapshotRecord{Name: s.Name, Created: time.Unix(s.SnapTime, 0)}
	text, line, ok := strings.Cut(strings.TrimRight(s.Description, "\n"), "\n"+snapshotLine)
	var r snapshotRecord
	if !ok || json.Unmarshal([]byte(line), &r) != nil || serverName(r.Name) != s.Name {
		return
	}
	s.Description, s.record = text, r
}

// describe makes what the core sees.
func (s snapshot) describe() backends.Snapshot {
	return backends.Snapshot{Name: s.record.Name, Description: s.Description, Created: s.record.Created, Frozen: s.record.Frozen}
}

func (s snapshot) name() string { return s.record.Name }

// serverForm is that of a snapshot's name on the server (pve-configid, 40 characters).
var serverForm = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{1,39}$`)

const derivedPrefix = "nixvm-"

// serverName is the name on the server: the same where that is possible, else one that is
// derived from it.
func serverName(name string) string {
	if serverForm.MatchString(name) && !strings.EqualFold(name, "current") && !strings.HasPrefix(name, derivedPrefix) {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return derivedPrefix + hex.EncodeToString(sum[:10])
}

// SnapshotsLive holds: the server freezes the guest with its agent.
func (b *Backend) SnapshotsLive() bool { return true }

// listSnapshots are those of a VM that are complete, in any order.
func (b *Backend) listSnapshots(ctx context.Context, e entry) ([]snapshot, error) {
	var list []snapshot
	if err := b.api.Get(ctx, e.path("snapshot"), nil, &list); err != nil {
		return nil, b.problem(err)
	}
	list = slices.DeleteFunc(list, func(s snapshot) bool { return s.Name == "current" || s.SnapState != "" })
	for i := range list {
		list[i].read()
	}
	return list, nil
}

// Snapshots of a VM, oldest first.
func (b *Backend) Snapshots(ctx context.Context, ref backends.Ref) ([]backends.Snapshot, error) {
	f, err := b.need(ctx, ref)
	if err != nil {
		return nil, err
	}
	list, err := b.listSnapshots(ctx, f.entry)
	return snapshots.Sorted(list, snapshot.describe), err
}

// CreateSnapshot has the server take one, of all disks. While the VM runs, the server
// freezes the guest with its agent; with PowerOff, this is done here, and the guest does
// not run again before it is ended.
func (b *Backend) CreateSnapshot(ctx context.Context, ref backends.Ref, req backends.SnapshotRequest) (made backends.Snapshot, err error) {
	if err := names.Snapshot(req.Name); err != nil {
		return made, err
	}
	ctx, done, err := b.begin(ctx, ref.Name)
	if err != nil {
		return made, err
	}
	defer done()
	f, err := b.need(ctx, ref)
	if err != nil {
		return made, err
	}
	list, err := b.listSnapshots(ctx, f.entry)
	if err != nil {
		return made, err
	}
	if err := snapshots.CheckFree(list, snapshot.name, ref.Name, req.Name); err != nil {
		return made, err
	}
	r := snapshotRecord{Name: req.Name, Created: time.Now(), Frozen: true}
	if up(f.status) {
		r.Frozen = b.agentAnswers(ctx, f)
	}
	thaw := func() error { return nil }
	if req.PowerOff && up(f.status) {
		if thaw, err = b.hold(ctx, f, r.Frozen); err != nil {
			return made, refusal.SnapshotFailed(ref.Name, b.problem(err))
		}
	}
	p := pve.Params{"snapname": serverName(req.Name), "description": r.described(req.Description)}
	err = b.run(ctx, f.task("POST", "qmsnapshot", p, "snapshot"))
	if err != nil {
		return made, refusal.SnapshotFailed(ref.Name, errors.Join(b.problem(err), thaw()))
	}
	made = snapshot{Description: req.Description, record: r}.describe()
	if req.PowerOff {
		return made, b.kill(ctx, f)
	}
	return made, nil
}

func (b *Backend) agentAnswers(ctx context.Context, f *found) bool {
	if f.status.State != backends.Running {
		return false
	}
	return b.api.Post(ctx, f.path("agent", "ping"), nil, nil) == nil
}

// hold freezes the guest, if it has an agent, and pauses the VM. release lets it run again.
func (b *Backend) hold(ctx context.Context, f *found, agent bool) (release func() error, err error) {
	frozen := false
	release = func() error {
		clean, cancel := afterwards(ctx)
		defer cancel()
		err := b.run(clean, f.task("POST", "qmresume", nil, "status", "resume"))
		if frozen {
			err = errors.Join(err, b.api.Post(clean, f.path("agent", "fsfreeze-thaw"), nil, nil))
		}
		return err
	}
	if agent {
		if err := b.api.Post(ctx, f.path("agent", "fsfreeze-freeze"), nil, nil); err != nil {
			return nil, err
		}
		frozen = true
	}
	if f.status.State == backends.Suspended {
		return release, nil
	}
	if err := b.run(ctx, f.task("POST", "qmpause", nil, "status", "suspend")); err != nil {
		return nil, errors.Join(err, release())
	}
	return release, nil
}

// RestoreSnapshot rolls all disks back, and the configuration, of which the next start
// sets what the machine wants.
func (b *Backend) RestoreSnapshot(ctx context.Context, ref backends.Ref, name string) error {
	ctx, done, err := b.begin(ctx, ref.Name)
	if err != nil {
		return err
	}
	defer done()
	f, s, err := b.snapshotOf(ctx, ref, name, true)
	if err != nil {
		return err
	}
	before, err := b.conf(ctx, f.entry)
	if err != nil {
		return b.problem(err)
	}
	if err := b.run(ctx, f.task("POST", "qmrollback", nil, "snapshot", s.Name, "rollback")); err != nil {
		return refusal.SnapshotFailed(ref.Name, b.problem(err))
	}
	after, err := b.conf(ctx, f.entry)
	if err != nil {
		return b.problem(err)
	}
	r := readRecord(after["description"])
	// The boot disk is that of the snapshot, and the medium on the storage is as new as it was.
	r.Booted, r.Medium = true, readRecord(before["description"]).Medium
	p := pve.Params{"description": b.vmDescription(r), "tags": before["tags"], "onboot": before["onboot"], "name": ref.Name}
	b.insertMedium(p, after, b.mediumIn(before, f.mark.UUID))
	return b.problem(b.put(ctx, f.entry, p))
}

// DeleteSnapshot removes one.
func (b *Backend) DeleteSnapshot(ctx context.Context, ref backends.Ref, name string) error {
	ctx, done, err := b.begin(ctx, ref.Name)
	if err != nil {
		return err
	}
	defer done()
	f, s, err := b.snapshotOf(ctx, ref, name, false)
	if err != nil {
		return err
	}
	err = b.run(ctx, f.task("DELETE", "qmdelsnapshot", nil, "snapshot", s.Name))
	if err != nil {
		return refusal.SnapshotFailed(ref.Name, b.problem(err))
	}
	return nil
}

// snapshotOf finds a VM and a snapshot of it; off = the VM must be off.
func (b *Backend) snapshotOf(ctx context.Context, ref backends.Ref, name string, off bool) (*found, snapshot, error) {
	f, err := b.need(ctx, ref)
	if err != nil {
		return nil, snapshot{}, err
	}
	if off && up(f.status) {
		return nil, snapshot{}, refusal.Running(ref.Name, "a restore")
	}
	list, err := b.listSnapshots(ctx, f.entry)
	if err != nil {
		return nil, snapshot{}, err
	}
	s, err := snapshots.Find(list, snapshot.name, ref.Name, name)
	return f, s, err
}
