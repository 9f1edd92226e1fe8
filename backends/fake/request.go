package fake

import (
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/internal/atomicfile"
	"github.com/nixvm/nixvm/internal/problem"
)

// request is one change of a guest. It is data, so that a cluster can keep it.
type request struct {
	Method   string // "create", "start", ...
	Name     string
	UUID     string             `json:",omitempty"` // of the guest that is meant; empty = the one of that name
	Spec     *backends.Spec     `json:",omitempty"` // of create, clone, import and start; without Identity
	From     *backends.Source   `json:",omitempty"` // of clone
	Snapshot *backends.Snapshot `json:",omitempty"` // of snapshot, restore and delete-snapshot
	PowerOff bool               `json:",omitempty"` // of snapshot
	On       bool               `json:",omitempty"` // of autostart and cut
	Text     string             `json:",omitempty"` // of crash, write, import and rewrite; the key of shelve, unshelve and drop; the new name; the node to move to
	Node     string             `json:",omitempty"` // of what makes a guest, on a cluster
	Bytes    int64              `json:",omitempty"` // of grow and fill-disk
	Medium   medium             // of create, clone, start and renew
}

// realises is a request with a specification.
func realises(method string, spec backends.Spec) request {
	m := pack(spec.Identity)
	spec.Identity = nil
	return request{Method: method, Name: spec.Name, UUID: spec.UUID, Spec: &spec, Medium: m}
}

// about is a request about a guest that exists.
func about(method string, ref backends.Ref) request {
	return request{Method: method, Name: ref.Name, UUID: ref.UUID}
}

// ref is the guest that is meant.
func (r request) ref() backends.Ref { return backends.Ref{Name: r.Name, UUID: r.UUID} }

// makes reports whether the request makes a guest.
func (r request) makes() bool {
	return r.Method == "create" || r.Method == "clone" || r.Method == "import"
}

// apply carries a request out and tells what has changed.
func (n *node) apply(r request) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	g, err := n.meant(r)
	if err != nil {
		return err
	}
	before := backends.Status{Name: r.Name, State: backends.Absent}
	if g != nil {
		before = g.status()
	}
	if move := shelving[r.Method]; move != nil {
		return move(n, g, r)
	}
	switch {
	case r.makes():
		if g != nil && g.Lock == "" {
			return problem.New(problem.VMExists, "there is a VM %s", r.Name).WithHint("destroy it first")
		}
		if g, err = n.made(r); err != nil {
			return err
		}
	case r.Method == "destroy" && g == nil:
		return nil
	case r.Method == "destroy":
		err := atomicfile.Remove(n.path(r.Name))
		if err == nil {
			n.changed(backends.Event{Kind: backends.StateChanged, Status: backends.Status{Name: r.Name, State: backends.Absent}})
		}
		return err
	case g == nil:
		return noVM(r.Name)
	case before.State == backends.Broken:
		return problem.New(problem.VMStartFailed, "%s is broken: %s", r.Name, before.Reason).WithHint("nixvmd destroy %s", r.Name)
	default:
		if err := changes[r.Method](g, r); err != nil {
			return err
		}
	}
	if err := n.save(r.Name, g); err != nil {
		return err
	}
	n.tell(r, before, g.status())
	return nil
}

// meant is the guest that a request is about; nil = there is none, but for requests that
// make one: whichever has the name. mu is held.
func (n *node) meant(r request) (*guest, error) {
	g, err := n.load(r.Name)
	if g != nil && !r.makes() && !r.ref().Is(g.Kept.UUID) {
		return nil, err // a namesake
	}
	return g, err
}

// tell sends the events of a change. mu is held.
func (n *node) tell(r request, before, after backends.Status) {
	if after.State != before.State || after.Cut != before.Cut || before.Node != "" && after.Node != before.Node {
		n.changed(backends.Event{Kind: backends.StateChanged, Status: after})
	}
	if r.Method == "start" && before.State != after.State {
		n.changed(backends.Event{Kind: backends.GuestAgentUp, Status: after})
	}
	if r.Method == "reboot" {
		n.changed(backends.Event{Kind: backends.Rebooted, Status: after})
		n.changed(backends.Event{Kind: backends.GuestAgentUp, Status: after})
	}
}

func noVM(name string) *problem.Error {
	return problem.New(problem.VMNotFound, "no VM %s", name).WithHint("nixvmd create %s", name)
}

// made is a new guest that is off. mu is held.
func (n *node) made(r request) (*guest, error) {
	g := &guest{
		Status: backends.Status{Name: r.Name, State: backends.Stopped}, Disk: r.Spec.DiskBytes, Autostart: r.Spec.Autostart, Kept: keptOf(*r.Spec), Medium: r.Medium,
		PCIDevices: r.Spec.PCIDevices, VMID: r.Spec.VMID, Node: r.Node,
	}
	if r.From == nil {
		g.Content = r.Text // of an import
		return g, nil
	}
	source, err := n.load(r.From.VM.Name)
	switch {
	case err != nil:
		return nil, err
	case source == nil || !r.From.VM.Is(source.Kept.UUID):
		return nil, noVM(r.From.VM.Name)
	case !source.off() && r.From.Snapshot == "" || source.Lock != "":
		return nil, problem.New(problem.VMRunning, "%s runs", r.From.VM.Name).WithHint("nixvmd stop %s", r.From.VM.Name)
	case source.Kept.Mutable != r.Spec.Mutable:
		return nil, problem.New(problem.ModeUnsupported, "%s has another mode", r.From.VM.Name)
	case r.From.Snapshot != "" && source.find(r.From.Snapshot) < 0:
		return nil, problem.New(problem.SnapshotNotFound, "%s has no snapshot %s", r.From.VM.Name, r.From.Snapshot)
	}
	if err := backends.CheckCopySize(r.From.VM.Name, source.Disk, r.Spec.DiskBytes); err != nil {
		return nil, err
	}
	g.Content = source.Content
	if r.From.Snapshot != "" {
		g.Content = source.Snapshots[source.find(r.From.Snapshot)].Content
	}
	return g, nil
}

func keptOf(spec backends.Spec) backends.Kept {
	return backends.Kept{
		UUID: spec.UUID, MAC: spec.MAC, Mutable: spec.Mutable, ImageID: spec.Image.ID, ImageDisk: spec.Image.Disk,
		DiskBytes: spec.DiskBytes,
	}
}

// changes are the requests to guests that exist.
var changes = map[string]func(*guest, request) error{
	"start":           startGuest,
	"swap-image":      swapImage,
	"shutdown":        endGuest,
	"kill":            endGuest,
	"poweroff":        endGuest,
	"suspend":         func(g *guest, r request) error { return swap(g, r, backends.Running, backends.Suspended) },
	"resume":          resumeGuest,
	"fill":            fillHost,
	"snapshot":        takeSnapshot,
	"restore":         restoreSnapshot,
	"delete-snapshot": deleteSnapshot,
	"renew":           renewGuest,
	"grow":            growGuest,
	"fill-disk":       fillDisk,
	"autostart":       func(g *guest, r request) error { g.Autostart = r.On; return nil },
	"lose":            func(g *guest, _ request) error { g.Status.State = backends.Unknown; return nil },
	"cut":             func(g *guest, r request) error { g.Status.Cut = r.On; return nil },
	"rewrite":         rewriteGuest,
	"write":           func(g *guest, r request) error { g.Content = r.Text; return nil },
	"reboot":          func(*guest, request) error { return nil },
	moveToNode:        func(g *guest, r request) error { g.Node = r.Text; return nil },
	"crash": func(g *guest, r request) error {
		g.Status = backends.Status{Name: r.Name, State: backends.Crashed, Reason: r.Text}
		return nil
	},
}

func startGuest(g *guest, r request) error {
	switch {
	case g.Status.State == backends.Running || g.Status.State == backends.Suspended:
		return nil
	case r.Spec.DiskBytes < g.Disk:
		return problem.New(problem.SizeInvalid, "the disk of %s cannot shrink", r.Name).WithHint("a disk can only grow")
	case r.Spec.Mutable != g.Kept.Mutable:
		return problem.New(problem.ModeUnsupported, "%s has another mode", r.Name)
	}
	g.PCIDevices = r.Spec.PCIDevices
	g.FileSystem = r.Spec.DiskBytes
	g.Disk, g.Autostart, g.Kept, g.Medium = r.Spec.DiskBytes, r.Spec.Autostart, keptOf(*r.Spec), r.Medium
	if g.off() {
		g.Status.State, g.Status.Reason, g.Status.Started, g.Status.Accel = backends.Running, "", time.Now(), "none"
	}
	return nil
}

func swapImage(g *guest, r request) error {
	switch {
	case !g.off():
		return refusal.Running(r.Name, "its image is replaced")
	case r.Spec.Mutable || g.Kept.Mutable:
		return refusal.OtherMode(r.Name, "its image is in its disk")
	}
	g.Kept.ImageID, g.Kept.ImageDisk = r.Spec.Image.ID, r.Spec.Image.Disk
	return nil
}

func endGuest(g *guest, r request) error {
	g.Status = backends.Status{Name: r.Name, State: backends.Stopped}
	return nil
}

func swap(g *guest, r request, from, to backends.State) error {
	if g.Status.State != from && g.Status.State != to {
		return problem.New(problem.VMNotRunning, "%s does not run", r.Name).WithHint("nixvmd start %s", r.Name)
	}
	g.Status.State = to
	return nil
}

func takeSnapshot(g *guest, r request) error {
	if g.find(r.Snapshot.Name) >= 0 {
		return problem.New(problem.SnapshotExists, "%s has a snapshot %s", r.Name, r.Snapshot.Name)
	}
	g.Snapshots = append(g.Snapshots, snapshot{Snapshot: *r.Snapshot, Content: g.Content})
	if r.PowerOff {
		return endGuest(g, r)
	}
	return nil
}

func restoreSnapshot(g *guest, r request) error {
	if !g.off() {
		return problem.New(problem.VMRunning, "%s runs", r.Name).WithHint("nixvmd stop %s", r.Name)
	}
	i := g.find(r.Snapshot.Name)
	if i < 0 {
		return problem.New(problem.SnapshotNotFound, "%s has no snapshot %s", r.Name, r.Snapshot.Name)
	}
	g.Content = g.Snapshots[i].Content
	return nil
}

func rewriteGuest(g *guest, r request) error {
	if !g.off() {
		return problem.New(problem.VMRunning, "%s runs", r.Name).WithHint("nixvmd stop %s", r.Name)
	}
	g.Content = r.Text
	return nil
}

func deleteSnapshot(g *guest, r request) error {
	i := g.find(r.Snapshot.Name)
	if i < 0 {
		return problem.New(problem.SnapshotNotFound, "%s has no snapshot %s", r.Name, r.Snapshot.Name)
	}
	g.Snapshots = append(g.Snapshots[:i:i], g.Snapshots[i+1:]...)
	return nil
}
