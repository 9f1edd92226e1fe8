package vm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
)

const (
	// undoLimit bounds taking an operation back; a hung backend must not keep a
	// machine busy for ever.
	undoLimit = 2 * time.Minute
	// factsLimit bounds what is asked before an operation begins.
	factsLimit = 2 * time.Minute
)

// keptOperations is how many ended operations are remembered for operation/list.
const keptOperations = 200

// errShutdown is the cause with which Close cancels running operations: they
// are not over, the next daemon goes on with them.
var errShutdown = errors.New("the daemon is shutting down")

// errNotUndone is part of the error of an operation that could not be taken
// back whole: its journal stays, and a person chooses what becomes of it.
var errNotUndone = errors.New("what it had done could not be taken back")

// operation is the live side of an Operation.
type operation struct {
	id      string
	kind    Kind
	machine string
	plan    plan
	ctx     context.Context // of the operation's whole life, not of the request that began it
	cancel  context.CancelCauseFunc
	ended   chan struct{}
	forced  chan struct{} // closed when it is given up although a step has not returned
	source  string        // another machine that it keeps busy, until it lets it go; guarded by Service.mu
	letGo   chan struct{} // closed when it has
	value   Operation     // guarded by Service.mu

	instance string // of the VM that it acts on or makes
	over     bool   // it has ended; guarded by Service.mu
	forcing  sync.Once
	before   []*operation // those that have to give way to it; guarded by Service.mu until it runs
}

// begin journals and starts an operation, unless one runs on that machine.
// facts is called with the machine reserved: it finds out what the plan must
// remember (was the VM running?) before anything acts. Its problems refuse the
// request without a trace.
func begin[A any](ctx context.Context, s *Service, kind Kind, machine, client string, facts func(context.Context) (A, error), set func(*Operation)) (Operation, error) {
	return beginAs(ctx, s, Operation{Kind: kind, Machine: machine, Client: client}, facts, set)
}

// beginAs is begin with the first value of the operation. One with a Source
// keeps that machine busy as well, until it lets it go.
func beginAs[A any](ctx context.Context, s *Service, v Operation, facts func(context.Context) (A, error), set func(*Operation)) (Operation, error) {
	op := s.newOperation(v)
	if err := s.reserve(op); err != nil {
		return Operation{}, err
	}
	j, err := prepare(ctx, s, op, facts)
	if err != nil {
		s.release(op)
		return Operation{}, err
	}
	if set != nil {
		s.mu.Lock()
		set(&op.value)
		s.mu.Unlock()
	}
	s.supersede(op)
	s.launch(op, j, nil)
	if v.Source != "" {
		s.publishVM(v.Source) // it is busy now
	}
	return s.snapshotOf(op), nil
}

// newOperation makes the live side of an operation, with an id unless it has one.
func (s *Service) newOperation(v Operation) *operation {
	if v.ID == "" {
		v.ID, v.Started = ulid.Make().String(), time.Now()
	}
	v.State, v.Percent = OpRunning, nil
	op := &operation{
		id: v.ID, kind: v.Kind, machine: v.Machine, source: v.Source, value: v,
		ended: make(chan struct{}), forced: make(chan struct{}), letGo: make(chan struct{}),
	}
	op.ctx, op.cancel = context.WithCancelCause(s.ctx)
	return op
}

// prepare finds out what the plan needs to know, and writes the journal. It ends
// with the request, with the operation (which can be cancelled from its first
// moment), and after factsLimit.
func prepare[A any](ctx context.Context, s *Service, op *operation, facts func(context.Context) (A, error)) (*journal, error) {
	args, err := within(ctx, s, op, facts)
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(args)
	if err != nil {
		return nil, fmt.Errorf("encode the arguments of %s: %w", op.kind, err)
	}
	if op.plan, err = planners[op.kind](s, op.machine, raw); err != nil {
		return nil, err
	}
	if op.instance = op.plan.makes; op.instance == "" {
		op.instance = s.instanceOf(op.machine)
	}
	if frees[op.kind] {
		s.spendReserve(op)
	}
	j, err := createJournal(s.layout.Journal(), journalHeader{
		ID: op.id, Kind: op.kind, Machine: op.machine, Instance: op.instance, Source: op.value.Source,
		Client: op.value.Client, Started: op.value.Started, Args: raw,
	})
	switch {
	case err == nil:
	case noSpace(err) && spaceless[op.kind]:
		s.log.Warn("no space for a journal: if the daemon ends before the operation does, it is not finished", "operation", op.id, "kind", op.kind, "machine", op.machine)
		j = &journal{}
	default:
		return nil, diskProblem(err)
	}
	if j.file != nil {
		j.hook, j.lenient = s.journalHook, spaceless[op.kind]
	}
	return j, nil
}

// within calls facts, and gives up waiting for it when nobody wants to know any
// more: a backend that hangs must not hold a request, and with it the machine.
func within[A any](ctx context.Context, s *Service, op *operation, facts func(context.Context) (A, error)) (A, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, factsLimit,
		problem.New(problem.BackendUnreachable, "what %s of %s needs to know has not been answered in %s", op.kind, op.value.Subject(), factsLimit).
			WithHint("nixvmd doctor says what does not answer; nixvmd kill ends a VM that hangs").Retry())
	defer cancel()
	stop := context.AfterFunc(op.ctx, cancel)
	defer stop()
	type answer struct {
		args A
		err  error
	}
	result := make(chan answer, 1)
	s.works.Add(1) // counted by reserve until the request is over: it is not the first
	go func() {
		defer s.works.Done()
		var a answer
		a.args, a.err = facts(ctx)
		result <- a
	}()
	a := answer{}
	select {
	case a = <-result:
		if a.err == nil || ctx.Err() == nil {
			return a.args, a.err
		}
	case <-ctx.Done():
		a.err = ctx.Err()
	}
	switch {
	case op.ctx.Err() != nil && errors.Is(context.Cause(op.ctx), errShutdown):
		return a.args, problem.New(problem.DaemonUnreachable, "%w", errShutdown).Retry()
	case op.ctx.Err() != nil:
		return a.args, cancelled(op.ctx, op.kind, op.value.Subject())
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return a.args, context.Cause(ctx)
	}
	return a.args, a.err
}

// spaceless are the operations that begin, and go on, without room for a journal:
// what they do frees space, or touches none, and nothing of it is taken back.
// Where they could not be journalled, the end of the daemon leaves them half done.
var spaceless = map[Kind]bool{
	KindStop: true, KindKill: true, KindSuspend: true, KindResume: true,
	KindDestroy: true, KindPurge: true, KindDeleteSnapshot: true,
}

// keys are what it is alone with in Service.running. An operation that is about
// no machine excludes no other. mu is held.
func (op *operation) keys() []string {
	switch {
	case op.machine == "":
		return []string{"operation " + op.id} // no machine has a name with a space
	case op.source != "":
		return []string{op.machine, op.source}
	}
	return []string{op.machine}
}

// reserve makes op the one operation of its machines. Those that have to give way
// to it go on until it runs. From here on Close waits for it.
func (s *Service) reserve(op *operation) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return problem.New(problem.DaemonUnreachable, "%w", errShutdown).Retry()
	}
	for _, key := range op.keys() {
		other := s.running[key]
		switch {
		case other == nil:
		case givesWay(other, op):
			op.before = append(append(op.before, other), other.before...)
		default:
			return busy(key, other)
		}
	}
	for _, key := range op.keys() {
		s.running[key] = op
	}
	s.operations = append(s.operations, op)
	s.works.Add(1)
	return nil
}

// busy is the problem of a machine on which an operation runs.
func busy(machine string, op *operation) *problem.Error {
	what := string(op.kind)
	if machine != op.machine {
		what += " to " + op.machine
	}
	return problem.New(problem.VMBusy, "%s is busy: %s has been running for %s (operation %s)",
		machine, what, time.Since(op.value.Started).Round(time.Second), op.id).
		WithHint("wait for it, or cancel it: nixvmd cancel %s; kill and destroy end it", op.id).Retry()
}

// idle refuses a machine on which an operation runs.
func (s *Service) idle(machine string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if op := s.running[machine]; op != nil {
		return busy(machine, op)
	}
	return nil
}

// letGoOfSource frees the machine that an operation has only read.
func (s *Service) letGoOfSource(op *operation) {
	s.mu.Lock()
	source := op.source
	if source != "" {
		op.source = ""
		if s.running[source] == op {
			delete(s.running, source)
		}
		close(op.letGo)
	}
	s.mu.Unlock()
	if source != "" {
		s.publishVM(source)
	}
}

// release takes a reservation back: the request was refused.
func (s *Service) release(op *operation) {
	defer s.works.Done()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.vacate(op)
	s.operations = slices.DeleteFunc(s.operations, func(o *operation) bool { return o == op })
	op.cancel(nil)
	op.over = true
	close(op.ended)
}

// vacate frees the machines of an operation, unless another one has them by now.
// What had to give way to it and has not ended, because it was refused or cancelled
// before that, has them again. mu is held.
func (s *Service) vacate(op *operation) {
	for _, key := range op.keys() {
		if s.running[key] == op {
			delete(s.running, key)
		}
	}
	for _, other := range op.before {
		for _, key := range other.keys() {
			if !other.over && s.running[key] == nil {
				s.running[key] = other
			}
		}
	}
}

// launch runs the plan in its own goroutine, which Close waits for.
func (s *Service) launch(op *operation, j *journal, done map[string]bool) {
	s.updateOperation(op, func(o *Operation) { o.Steps = len(op.plan.steps) })
	go func() {
		defer s.works.Done()
		defer op.cancel(nil)
		s.makeWay(op)
		err := s.execute(op.ctx, op.plan, j, op, done)
		switch {
		case errors.Is(err, errShutdown):
			j.close() // the next daemon goes on
		case errors.Is(err, errNotUndone):
			s.leave(op, j, err)
			return
		default:
			if rerr := j.remove(); rerr != nil {
				s.log.Error("journal not removed", "operation", op.id, "error", rerr)
			}
		}
		s.end(op, err)
	}()
}

// end settles the result and frees the machine.
func (s *Service) end(op *operation, err error) {
	s.reloadAfter(op)
	s.settleAfter(op, err)
	s.keepReserve()
	s.finish(op, func(o *Operation) {
		p := problem.From(err)
		switch {
		case err == nil:
			o.State, o.Percent, o.Message = OpSucceeded, new(100), ""
		case p.Code == problem.Cancelled:
			o.State, o.Problem, o.Message = OpCancelled, p, p.Message
		default:
			o.State, o.Problem, o.Message = OpFailed, p, p.Message
		}
	})
}

// finish gives the operation its last value and frees the machine in one step,
// tells first how the machine is now and then that the operation is over, and
// wakes those who wait.
func (s *Service) finish(op *operation, last func(*Operation)) {
	s.forgetSSH(op.machine)
	s.letGoOfSource(op)
	s.publishing.Lock()
	s.mu.Lock()
	last(&op.value)
	op.value.Ended = time.Now()
	op.over = true
	s.vacate(op)
	extra := len(s.operations) - keptOperations
	s.operations = slices.DeleteFunc(s.operations, func(o *operation) bool {
		if extra <= 0 || o.value.State == OpRunning || o.value.State == OpUnresolved {
			return false
		}
		extra--
		return true
	})
	v := op.value
	machine := s.viewLocked(op.machine)
	s.mu.Unlock()
	if machine == nil {
		s.inventory.Drop(op.machine)
	}
	switch {
	case machine != nil:
		s.tell(Change{VM: machine})
	case op.machine != "":
		s.tell(Change{Removed: op.machine})
	}
	s.tell(Change{Operation: &v})
	s.publishing.Unlock()
	close(op.ended)
	s.log.Info("operation ended", "operation", v.ID, "kind", v.Kind, "subject", v.Subject(), "client", v.Client,
		"state", v.State, "took", v.Ended.Sub(v.Started).Round(time.Millisecond), "problem", problemCode(v.Problem))
}

func problemCode(p *problem.Error) string {
	if p == nil {
		return ""
	}
	return string(p.Code) + ": " + p.Message
}

// updateOperation changes the value and publishes it, also within its VM.
func (s *Service) updateOperation(op *operation, change func(*Operation)) {
	s.publishing.Lock()
	defer s.publishing.Unlock()
	s.mu.Lock()
	before := op.value
	change(&op.value)
	if op.value.Progress() < before.Progress() {
		op.value.Percent = before.Percent
	}
	v := op.value
	machine := s.viewLocked(op.machine)
	s.mu.Unlock()
	s.tell(Change{Operation: &v})
	if machine != nil {
		s.tell(Change{VM: machine})
	}
}

// enterStep says which step comes next and how far the whole is.
func (s *Service) enterStep(op *operation, p plan, completed int) {
	s.updateOperation(op, func(o *Operation) {
		o.Done, o.Percent = completed, new(percentAt(p, completed, 0))
		if completed < len(p.steps) {
			o.Step, o.Message = p.steps[completed].name, p.steps[completed].title
		}
	})
}

// stepProgress takes an update of the running step. Log lines go only to those
// who follow this operation.
func (s *Service) stepProgress(op *operation, u progress.Update) {
	if u.Log != "" {
		s.publishing.Lock()
		s.tell(Change{Log: &LogLine{Operation: op.id, Vertex: u.Vertex, Line: u.Log}})
		s.publishing.Unlock()
	}
	if u.Message == "" && u.Total == 0 {
		return
	}
	s.updateOperation(op, func(o *Operation) {
		if u.Message != "" {
			o.Message = u.Message
		}
		if u.Total > 0 {
			o.Percent = new(percentAt(op.plan, o.Done, float64(min(u.Current, u.Total))/float64(u.Total)))
		}
	})
}

// percentAt maps a place in the plan to 0..99 by the steps' weights; 100 is for the end.
func percentAt(p plan, completed int, within float64) int {
	total, before, current := 0, 0, 0
	for i, st := range p.steps {
		w := max(st.weight, 1)
		total += w
		if i < completed {
			before += w
		}
		if i == completed {
			current = w
		}
	}
	if total == 0 {
		return 0
	}
	return min(99, int(100*(float64(before)+within*float64(current))/float64(total)))
}

func (s *Service) snapshotOf(op *operation) Operation {
	s.mu.Lock()
	defer s.mu.Unlock()
	return op.value
}

// Operations lists running, unresolved and recent operations, oldest first.
func (s *Service) Operations() []Operation {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Operation, 0, len(s.operations))
	for _, op := range s.operations {
		list = append(list, op.value)
	}
	return list
}

func (s *Service) find(id string) (*operation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, op := range s.operations {
		if op.id == id {
			return op, nil
		}
	}
	return nil, problem.New(problem.OperationNotFound, "there is no operation %q", id).
		WithHint("nixvmd operations lists the running and the recent ones")
}

// Operation returns one operation.
func (s *Service) Operation(id string) (Operation, error) {
	op, err := s.find(id)
	if err != nil {
		return Operation{}, err
	}
	return s.snapshotOf(op), nil
}

// Cancel asks an operation to stop; what it has begun is undone where its plan
// says so. It returns at once; an operation that has ended is not an error.
func (s *Service) Cancel(id string) error {
	op, err := s.find(id)
	if err != nil {
		return err
	}
	op.cancel(problem.New(problem.Cancelled, "%s of %s was cancelled", op.kind, s.snapshotOf(op).Subject()))
	return nil
}

// Wait returns the operation when it has ended. Giving up waiting does not
// cancel it.
func (s *Service) Wait(ctx context.Context, id string) (Operation, error) {
	op, err := s.find(id)
	if err != nil {
		return Operation{}, err
	}
	select {
	case <-op.ended:
		return s.snapshotOf(op), nil
	case <-ctx.Done():
		return s.snapshotOf(op), ctx.Err()
	}
}
