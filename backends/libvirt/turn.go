package libvirt

import (
	"context"
	"sync"
)

// turn lets one at a time through, as a mutex does; whoever waits for it can
// give up. It is for what is held while somebody else is asked.
type turn chan struct{}

func newTurn() turn { return make(turn, 1) }

// take waits for the turn. After nil, leave must be called.
func (t turn) take(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (t turn) leave() { <-t }

// turns are one for each name. The zero value is ready.
type turns struct {
	mu sync.Mutex
	of map[string]turn
}

// take waits for the turn of a name. The caller must call leave.
func (t *turns) take(ctx context.Context, name string) (leave func(), err error) {
	t.mu.Lock()
	if t.of == nil {
		t.of = map[string]turn{}
	}
	one := t.of[name]
	if one == nil {
		one = newTurn()
		t.of[name] = one
	}
	t.mu.Unlock()
	return one.leave, one.take(ctx)
}
