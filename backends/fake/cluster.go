package fake

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/sleep"
)

// Remote makes a backend a slow cluster in another place.
type Remote struct {
	// Delay is how long each way to it takes, and each task.
	Delay time.Duration
	// Patience is how long a request waits for a cluster that is away.
	Patience time.Duration
	// Begun, if set, is called when a task is on record, before it acts.
	Begun func(method, machine string)
	// LoseAnswer, if set, reports whether the client does not get the answer to a
	// request, whose task has begun.
	LoseAnswer func(method, machine string) bool
	// Taken, if set, reports whether a guest of others has a number.
	Taken func(vmid int) bool
	// Nodes of the cluster. New guests are on the first one.
	Nodes []string
	// Offline, if set, reports whether a node does not answer.
	Offline func(node string) bool
}

// cluster carries out requests as tasks. What is said of the client below is what
// one of a real cluster has to do.
//
// Lock order: mu, then the node's, then way.
type cluster struct {
	Remote
	node *node

	ctx    context.Context // ends with close; tasks that have not acted wait on the disk
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu    sync.Mutex
	tasks []*task // oldest first
	last  int     // number of the newest one, also of those that are gone

	way   sync.Mutex
	away  chan struct{}              // nil: it is there; closed when it comes back
	known map[string]backends.Status // what the client was told last
}

// errAnswerLost is what a client gets instead of the answer to its request.
var errAnswerLost = errors.New("the connection ended before the answer came")

func openCluster(r Remote, n *node) *cluster {
	c := &cluster{Remote: r, node: n, known: map[string]backends.Status{}}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

func (c *cluster) close() {
	c.cancel()
	c.wg.Wait()
}

// trip is the way to the cluster and back.
func (c *cluster) trip(ctx context.Context) error {
	if !sleep.For(ctx, c.Delay) {
		return context.Cause(ctx)
	}
	c.way.Lock()
	back := c.away
	c.way.Unlock()
	if back == nil {
		return nil
	}
	limit := time.NewTimer(c.Patience)
	defer limit.Stop()
	select {
	case <-back:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-limit.C:
		return unreachable()
	}
}

func unreachable() *problem.Error {
	return problem.New(problem.BackendUnreachable, "the cluster does not answer").WithHint("wait until it is back").Retry()
}

// do has a request carried out, and waits for its task. A request whose answer is
// lost is not sent again: its task is looked for. A guest that is not wanted any more
// when ctx ends is not left behind.
func (c *cluster) do(ctx context.Context, r request) error {
	c.mu.Lock()
	since := c.last
	c.mu.Unlock()
	t, err := c.submit(ctx, r)
	if errors.Is(err, errAnswerLost) {
		t, err = c.find(ctx, r, since)
	}
	if err != nil {
		return err
	}
	err = c.wait(ctx, t)
	if r.Method == moveToNode && ctx.Err() != nil {
		t.stop()
		if c.wait(context.WithoutCancel(ctx), t) == nil {
			return nil
		}
		return context.Cause(ctx)
	}
	if r.makes() && ctx.Err() != nil {
		return errors.Join(context.Cause(ctx), c.unmake(context.WithoutCancel(ctx), t))
	}
	return err
}

// find looks for the task that a request has begun.
func (c *cluster) find(ctx context.Context, r request, since int) (*task, error) {
	if err := c.trip(ctx); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.tasks {
		if t.Number > since && t.Request.Name == r.Name && t.Request.Method == r.Method {
			return t, nil
		}
	}
	return nil, unreachable()
}

// wait asks for a task until it has ended, and returns how.
func (c *cluster) wait(ctx context.Context, t *task) error {
	for {
		if err := c.trip(ctx); err != nil {
			return err
		}
		select {
		case <-t.done:
			return t.result()
		case <-c.ctx.Done():
			return unreachable()
		default:
		}
	}
}

// unmake stops a task that makes a guest, and removes what it has made.
func (c *cluster) unmake(ctx context.Context, t *task) error {
	t.stop()
	if c.wait(ctx, t) == nil {
		remover, err := c.submit(ctx, request{Method: "destroy", Name: t.Request.Name})
		if err != nil {
			return err
		}
		return c.wait(ctx, remover)
	}
	return nil // nothing was made
}

// status answers for a cluster that is away from what was known before.
func (c *cluster) status(ctx context.Context, name string) (backends.Status, error) {
	if st, ok, away := c.remembered(name); away {
		if !ok {
			return st, unreachable()
		}
		return st, nil
	}
	if err := c.trip(ctx); err != nil {
		return backends.Status{}, err
	}
	return c.node.status(name)
}

func (c *cluster) list(ctx context.Context) ([]backends.Status, error) {
	if _, _, away := c.remembered(""); away {
		return nil, unreachable()
	}
	if err := c.trip(ctx); err != nil {
		return nil, err
	}
	c.node.mu.Lock()
	defer c.node.mu.Unlock()
	list, err := c.node.listLocked()
	for _, st := range list {
		c.remember(st)
	}
	return list, err
}

// remembered is what is known of a guest while the cluster is away.
func (c *cluster) remembered(name string) (st backends.Status, ok, away bool) {
	c.way.Lock()
	defer c.way.Unlock()
	st, ok = c.known[name]
	st.State, st.Reason = backends.Unknown, "the cluster does not answer"
	return st, ok, c.away != nil
}

func (c *cluster) remember(st backends.Status) {
	c.way.Lock()
	defer c.way.Unlock()
	if c.known[st.Name] = st; st.State == backends.Absent {
		delete(c.known, st.Name)
	}
}

// tells reports whether the client hears of a change. The node is locked.
func (c *cluster) tells(e backends.Event) bool {
	c.way.Lock()
	away := c.away != nil
	c.way.Unlock()
	if !away {
		c.remember(e.Status)
	}
	return !away
}

// GoAway takes a remote backend away. Its tasks go on.
func (b *Backend) GoAway() {
	c := b.cluster
	c.node.mu.Lock()
	defer c.node.mu.Unlock()
	c.way.Lock()
	defer c.way.Unlock()
	if c.away != nil {
		return
	}
	c.away = make(chan struct{})
	for _, st := range c.known {
		st.State, st.Reason = backends.Unknown, "the cluster does not answer"
		b.events.Push(backends.Event{Kind: backends.StateChanged, Status: st})
	}
}

// ComeBack ends GoAway: what has become of the guests is told.
func (b *Backend) ComeBack() error {
	c := b.cluster
	c.node.mu.Lock()
	defer c.node.mu.Unlock()
	list, err := c.node.listLocked()
	if err != nil {
		return err
	}
	c.way.Lock()
	defer c.way.Unlock()
	if c.away == nil {
		return nil
	}
	gone := c.known
	c.known = map[string]backends.Status{}
	for _, st := range list {
		delete(gone, st.Name)
		c.known[st.Name] = st
		b.events.Push(backends.Event{Kind: backends.StateChanged, Status: st})
	}
	for name := range gone {
		b.events.Push(backends.Event{Kind: backends.StateChanged, Status: backends.Status{Name: name, State: backends.Absent}})
	}
	close(c.away)
	c.away = nil
	return nil
}
