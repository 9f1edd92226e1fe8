package proxmox

import (
	"context"
	"strconv"
	"strings"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/backends/proxmox/pve"
	"github.com/nixvm/nixvm/internal/names"
)

func itoa(n int) string { return strconv.Itoa(n) }

// conf is the configuration of a VM: options with their values.
type conf map[string]string

// option reads an option of a drive or a network card: "scsi1: thin:...,size=2G".
func (c conf) option(key, name string) string {
	for _, part := range splitOptions(c[key]) {
		if part[0] == name {
			return part[1]
		}
	}
	return ""
}

func (b *Backend) conf(ctx context.Context, e entry) (conf, error) {
	var raw map[string]any
	if err := b.api.Get(ctx, e.path("config"), nil, &raw); err != nil {
		return nil, err
	}
	c := conf{}
	for k, v := range raw {
		switch v := v.(type) {
		case string:
			c[k] = v
		case float64:
			c[k] = strconv.FormatFloat(v, 'f', -1, 64)
		}
	}
	return c, nil
}

// found is a VM of ours with the state that it has.
type found struct {
	entry
	status backends.Status
}

// find looks for a VM of ours by name and UUID. A VM that is half made is found, too. nil =
// there is none.
func (b *Backend) find(ctx context.Context, ref backends.Ref) (*found, error) {
	if err := names.Machine(ref.Name); err != nil {
		return nil, err
	}
	if at, known := b.view.place(ref.Name); known {
		e, err := b.current(ctx, at)
		if err == nil && b.ours(e.mark) && e.name == ref.Name && b.known(ref.Name).UUID == e.mark.UUID {
			return b.matching(ref, e), nil
		}
		if err != nil && !pve.NoVM(err) && !pve.Lost(err) {
			return nil, b.problem(err)
		}
	}
	s, err := b.scan(ctx)
	if err != nil {
		return nil, err
	}
	b.observeScan(s, b.view.now())
	return b.findIn(ctx, s, ref)
}

func (b *Backend) findIn(ctx context.Context, s scan, ref backends.Ref) (*found, error) {
	for _, e := range s.entries {
		if e.name != ref.Name || e.template {
			continue
		}
		if b.ours(e.mark) {
			return b.matching(ref, e), nil
		}
		if !e.half() {
			continue
		}
		c, err := b.conf(ctx, e)
		switch {
		case pve.NoVM(err):
			continue
		case err != nil:
			return nil, b.problem(err)
		}
		if r := readRecord(c["description"]); r.Owner == b.owner.ID && r.Name == ref.Name && !r.Spare {
			e.mark.UUID, e.mark.Owner = r.UUID, r.Owner
			e.lock = "create" // it is half made, whether a task is at it or not
			return b.matching(ref, e), nil
		}
	}
	if st, known := b.view.lost(ref.Name, s.silent); known && ref.Is(st.UUID) {
		return &found{status: st}, nil
	}
	return nil, nil
}

func (b *Backend) matching(ref backends.Ref, e entry) *found {
	if !ref.Is(e.mark.UUID) {
		return nil
	}
	return &found{entry: e, status: b.status(e)}
}

// current asks one VM, which tells more than the list: whether it is suspended.
func (b *Backend) current(ctx context.Context, at place) (entry, error) {
	var v listed
	e := entry{node: at.node, id: at.id}
	if err := b.api.Get(ctx, e.path("status", "current"), nil, &v); err != nil {
		return e, err
	}
	got := v.entry(at.node)
	got.id, got.asked = at.id, true
	return got, nil
}

// need is find for what cannot be done without the VM, whose state must be known.
func (b *Backend) need(ctx context.Context, ref backends.Ref) (*found, error) {
	f, err := b.find(ctx, ref)
	switch {
	case err != nil:
		return nil, err
	case f == nil:
		return nil, refusal.NotFound(ref.Name)
	case f.status.State == backends.Unknown:
		return nil, nodeDown(f.status)
	}
	return f, nil
}

// splitOptions reads "a,b=c" as pairs; a value alone has the empty name.
func splitOptions(text string) [][2]string {
	var all [][2]string
	for part := range strings.SplitSeq(text, ",") {
		name, value, ok := strings.Cut(part, "=")
		if !ok {
			name, value = "", part
		}
		all = append(all, [2]string{name, value})
	}
	return all
}
