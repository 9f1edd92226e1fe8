package proxmox

import (
	"slices"
	"sync"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// place is where a VM was last seen.
type place struct {
	node string
	id   int
}

// seen is what is known of one VM.
type seen struct {
	at      place
	status  backends.Status
	told    uint64 // when that was learned, by the count of the view
	pid     uint64
	started time.Time
	exact   uint64 // pid of the process whose start is as Start has recorded it; 0 = none
	agent   uint64 // pid of the process whose agent has answered; 0 = none
}

// view is what the core has been told of VMs. Questions take time, and an answer that was
// begun before a newer one is thrown away: the count says which is newer.
type view struct {
	mu    sync.Mutex
	count uint64
	vms   map[string]*seen
}

func (v *view) init() { v.vms = map[string]*seen{} }

// now is the time by the count: what is learned from a question that begins now.
func (v *view) now() uint64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.count++
	return v.count
}

func (v *view) place(name string) (place, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	s, ok := v.vms[name]
	if !ok || s.at.id == 0 || s.status.State == backends.Broken { // the tags of a copy that is half made are its source's
		return place{}, false
	}
	return s.at, true
}

// lost is the state of a VM that was last seen on a node which does not answer.
func (v *view) lost(name string, silent []string) (backends.Status, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	s, ok := v.vms[name]
	if !ok || !slices.Contains(silent, s.at.node) {
		return backends.Status{}, false
	}
	return away(s.status, "node "+s.at.node+" does not answer"), true
}

func away(st backends.Status, reason string) backends.Status {
	return backends.Status{Name: st.Name, UUID: st.UUID, State: backends.Unknown, Reason: reason, Node: st.Node}
}

// nodeDown refuses what needs a VM whose node cannot be asked.
func nodeDown(st backends.Status) error {
	return problem.New(problem.BackendUnreachable, "VM %s is out of reach: %s", st.Name, st.Reason).
		WithHint("wait until the node is back").Retry()
}

// observe takes what a question that began at the time asked has told of a VM, and sends
// the event if it is news.
func (b *Backend) observe(e entry, st backends.Status, asked uint64) {
	v := &b.view
	v.mu.Lock()
	defer v.mu.Unlock()
	s, known := v.vms[st.Name]
	if known && s.told > asked {
		return
	}
	if !known {
		s = &seen{}
		v.vms[st.Name] = s
	}
	was := s.status
	s.told, s.status = asked, st
	if e.id != 0 {
		s.at = place{e.node, e.id}
	}
	if st.State == backends.Absent {
		s.at, s.agent = place{}, 0
	}
	moved := st.Node != "" && was.Node != "" && st.Node != was.Node
	if (was.State != st.State || moved) && (known || st.State != backends.Absent) {
		b.events.Push(backends.Event{Kind: backends.StateChanged, Status: st})
	}
}

// gone says that there is no VM of the name any more.
func (b *Backend) gone(name string) {
	b.observe(entry{}, backends.Status{Name: name, State: backends.Absent}, b.view.now())
}

// observeScan takes a scan of all nodes that began at the time asked.
func (b *Backend) observeScan(s scan, asked uint64) []backends.Status {
	var all []backends.Status
	there := map[string]bool{}
	for _, e := range s.entries {
		if !b.ours(e.mark) || e.template || there[e.name] {
			continue
		}
		st := b.status(e)
		there[e.name] = true
		all = append(all, st)
		if st.State != backends.Broken { // one that is being made is told of when it is
			b.observe(e, st, asked)
		}
	}
	b.view.mu.Lock()
	var missing []backends.Status
	for name, known := range b.view.vms {
		if there[name] || known.status.State == backends.Absent {
			continue
		}
		st := backends.Status{Name: name, State: backends.Absent}
		if slices.Contains(s.silent, known.at.node) {
			st = away(known.status, "node "+known.at.node+" does not answer")
			all = append(all, st)
		}
		missing = append(missing, st)
	}
	b.view.mu.Unlock()
	for _, st := range missing {
		b.observe(entry{}, st, asked)
	}
	return all
}

// lose says that the cluster does not answer.
func (b *Backend) lose() {
	asked := b.view.now()
	b.view.mu.Lock()
	var all []backends.Status
	for _, s := range b.view.vms {
		if s.status.State != backends.Absent {
			all = append(all, away(s.status, "the cluster does not answer"))
		}
	}
	b.view.mu.Unlock()
	for _, st := range all {
		b.observe(entry{}, st, asked)
	}
}
