package operation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/workgroup"
)

// kept is how many ended operations are remembered for List.
const kept = 200

// errShutdown is the cause with which Close cancels running operations: they are
// not over, the next daemon goes on with them.
var errShutdown = errors.New("the daemon is shutting down")

// ErrShutdown is the problem of a request that comes while the engine closes.
func ErrShutdown() *problem.Error {
	return problem.New(problem.DaemonUnreachable, "%w", errShutdown).Retry()
}

// Verb is what the engine knows of one kind of operation.
type Verb struct {
	// Plan builds the plan from the arguments, those of a request or of a journal.
	// The value says what it is about; it has no state yet.
	Plan func(value api.Operation, args json.RawMessage) (Plan, error)
	// Rank of the operations that do not wait for a key: they end the operations of
	// a lower rank that hold their first key, and any that has been cancelled.
	// 0 waits.
	Rank int
	// Spaceless operations begin, and go on, without room for a journal: what they
	// do frees space, or needs none, and nothing of it is undone. Where they could
	// not be journalled, the end of the daemon leaves them half done.
	Spaceless bool
	// Makes: there is a new thing at the end. When that is gone, what an interrupted
	// one has left is undone all the same.
	Makes bool
	// Continues: although it cannot be undone it may be gone on with, and the next
	// daemon does so unless its thing has been used since.
	Continues bool
}

// Standing is what has become of the thing that a journal is about.
type Standing int

// The standings.
const (
	Gone   Standing = iota // it is not there, or another one has its name: nothing is left to do
	Ours                   // what is there is what the operation made or acted on
	Unsure                 // it cannot be determined
)

// Owner is the program on whose things the operations work. Its methods are
// called from several goroutines at once, without a lock of the engine.
type Owner interface {
	// Instance names the thing that an operation acts on, for its journal; empty
	// for none.
	Instance(op api.Operation) string
	// Standing finds out whether what a journal would act on is still what it was
	// about. late: its daemon went on after it had failed, so that other operations,
	// or a person, may have used it since. ctx bounds the questions.
	Standing(ctx context.Context, r *Record, p Plan, late bool) Standing
	// Interrupt ends what a step of an operation may wait for without heeding its
	// context, e.g. a virtual machine that hangs.
	Interrupt(ctx context.Context, op api.Operation) error
	// Decides reports whether an operation that has succeeded makes the choices of
	// an unresolved one on the same key pointless: it has removed, or made anew, what
	// that was about.
	Decides(done, unresolved *Task) bool
	// Ended puts in order what an operation has left, before its keys are free.
	Ended(op api.Operation)
	// Tell passes a change on to the watchers. Options.Order is held.
	Tell(c Change)
}

// Change is something new about operations, for watchers.
type Change struct {
	// Operation is its new value; nil: only Keys or Log are set.
	Operation *api.Operation
	// Keys of which other things may have changed: whether they are held, by what.
	Keys []string
	// Ended: the operation has just ended, and its keys are free.
	Ended bool
	// Log is output of a tool that an operation runs.
	Log *api.LogLine
}

// Limits are how long things may take. Zero fields take DefaultLimits.
type Limits struct {
	Facts   time.Duration // what is asked before an operation begins
	Undo    time.Duration // undoing an operation; a hung backend must not hold a key for ever
	Resolve time.Duration // what was chosen for an unresolved one: the copy of a disk, perhaps
	Ask     time.Duration // Owner.Standing
	Edit    time.Duration // how long a request waits for an edit on its key
	// Soon is what an edit, which is short, gets to end before an operation that does not
	// wait cancels it, and to return once it is cancelled.
	Soon time.Duration
	// Grace is what an operation that is cancelled gets to end before Owner.Interrupt
	// is called; Force what it gets after that, before it is given up.
	Grace, Force time.Duration
	// Close is what running operations get at the end of the daemon, before they are
	// given up and left to the next one.
	Close time.Duration
}

// DefaultLimits are the limits outside of tests.
func DefaultLimits() Limits {
	return Limits{
		Facts: 2 * time.Minute, Undo: 2 * time.Minute, Resolve: 2 * time.Hour, Ask: 10 * time.Second,
		Edit: 30 * time.Second, Soon: time.Second, Grace: 5 * time.Second, Force: 20 * time.Second, Close: 8 * time.Second,
	}
}

// forceShare: what has been given up gets this part of Limits.Close to end.
const forceShare = 4

// Closing is how long Close takes at most.
func (l Limits) Closing() time.Duration { return l.Close + l.Close/forceShare }

// Options are what an Engine stands on.
type Options struct {
	Dir   string // of the journals; it exists
	Verbs map[api.Kind]Verb
	Owner Owner
	// Keys an operation holds. The first is of the thing that it changes; the others
	// are kept busy until Run.Release, and only read unless a step says that it acts on
	// them, too (Step.Others). None: it excludes no other operation.
	Keys func(api.Operation) []string
	// Check refuses the value of an operation from a journal that names what no
	// operation can be about; nil takes any.
	Check func(api.Operation) error
	// Order is held while a change is made and told. The owner holds it for changes of
	// its own, so that watchers see all of them in the order in which they happened.
	Order  sync.Locker
	Log    *slog.Logger
	Limits Limits
	Hook   func(Entry) // tests: called after an entry of a journal is durable
}

// Engine runs operations. Its methods may be called from any goroutine.
type Engine struct {
	o      Options
	log    *slog.Logger
	limits Limits

	ctx    context.Context // of the engine's life
	cancel context.CancelCauseFunc
	works  workgroup.Group // operations, edits, and requests that prepare one
	calls  workgroup.Group // functions of others, which may not return when they are given up

	mu         sync.Mutex
	held       map[string]*Task // by key
	edits      map[string]*Task // by key
	preparing  map[string]*Task // by id: not journalled yet
	listed     []*Task          // oldest first
	unresolved map[string]*unresolved
	unreadable []error // journals that were found damaged; set by Recover
}

// New makes an engine. Call Recover before the first Begin.
func New(o Options) *Engine {
	def := DefaultLimits()
	for _, l := range []struct{ limit, def *time.Duration }{
		{&o.Limits.Facts, &def.Facts},
		{&o.Limits.Undo, &def.Undo},
		{&o.Limits.Resolve, &def.Resolve},
		{&o.Limits.Ask, &def.Ask},
		{&o.Limits.Edit, &def.Edit},
		{&o.Limits.Soon, &def.Soon},
		{&o.Limits.Grace, &def.Grace},
		{&o.Limits.Force, &def.Force},
		{&o.Limits.Close, &def.Close},
	} {
		if *l.limit == 0 {
			*l.limit = *l.def
		}
	}
	e := &Engine{
		o: o, log: o.Log, limits: o.Limits,
		held: map[string]*Task{}, edits: map[string]*Task{}, preparing: map[string]*Task{}, unresolved: map[string]*unresolved{},
	}
	e.ctx, e.cancel = context.WithCancelCause(context.Background())
	return e
}

// Close lets running operations go: the next daemon finishes or undoes them. What
// has not ended after Limits.Close is given up; its journal says how far it was.
// The error says that something of it still runs.
func (e *Engine) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), e.limits.Close)
	defer cancel()
	e.cancel(errShutdown)
	if err := e.works.Close(ctx); err == nil {
		return e.calls.Close(ctx)
	}
	e.mu.Lock()
	var all []*Task
	for _, t := range e.listed {
		if !t.over {
			all = append(all, t)
		}
	}
	for _, m := range []map[string]*Task{e.edits, e.preparing} {
		for _, t := range m {
			all = append(all, t)
		}
	}
	e.mu.Unlock()
	for _, t := range all {
		e.log.Error("an operation does not end with the daemon and is abandoned: the next daemon continues it", "operation", t.id, "kind", t.kind)
		t.force()
	}
	// What is left of them is the engine's own, and short.
	ctx, cancel = context.WithTimeout(context.Background(), e.limits.Close/forceShare)
	defer cancel()
	err := e.works.Close(ctx)
	done, cancelled := context.WithCancel(context.Background())
	cancelled()
	if err = errors.Join(err, e.calls.Close(done)); err != nil {
		return fmt.Errorf("end the running operations: %w", err)
	}
	return nil
}

// verb of a kind; the zero Verb for one that has none.
func (e *Engine) verb(kind api.Kind) Verb { return e.o.Verbs[kind] }
