package vm

import (
	"context"
	"slices"
	"testing"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/fake"
	"github.com/nixvm/nixvm/internal/progress"
)

// tasking is a cluster that loses a move of which it has begun two tasks, and remembers what
// it is told of them the next time.
type tasking struct {
	*fake.Backend
	lose    bool
	earlier []string
}

func (b *tasking) MigrateToNode(ctx context.Context, ref backends.Ref, node string, report progress.Reporter) error {
	b.earlier = append(b.earlier, backends.EarlierTask(ctx), backends.EarlierTask(ctx))
	if !b.lose {
		return b.Backend.MigrateToNode(ctx, ref, node, report)
	}
	for _, task := range []string{"one", "two"} {
		if err := backends.NoteTask(ctx, task); err != nil {
			return err
		}
	}
	return backends.ErrUnsettled
}

func TestTheNextDaemonIsToldOfTheTaskThatHasBegun(t *testing.T) {
	home := t.TempDir()
	makeRemote(t, home)
	cluster := &tasking{lose: true}
	with := func(o *Options) {
		o.Backends = slices.Clone(o.Backends)
		for i, b := range o.Backends {
			if f, ok := b.(*fake.Backend); ok && f.Name() == "test" {
				cluster.Backend, o.Backends[i] = f, cluster
			}
		}
	}
	h, err := openHouse(home, images{}, nil, nil, with)
	if err != nil {
		t.Fatal(err)
	}
	h.create(t, "demo")
	op, err := moveToOtherNode(h)
	if op = h.do(t, op, err); op.State != api.OpUnresolved {
		t.Errorf("it is %s", op.State)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	cluster.lose = false
	h = open(t, home, images{}, nil, nil, with)
	for _, op := range h.Operations() {
		h.succeed(t, op, nil)
	}
	if want := []string{"", "", "two", ""}; !slices.Equal(cluster.earlier, want) {
		t.Errorf("it is told of %q, want %q", cluster.earlier, want)
	}
}
