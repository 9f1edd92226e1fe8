package vm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// unresolved is an operation that has failed and could not be taken back whole.
// Its journal stays. Nothing of it is done or undone later by itself: meanwhile a
// person may have come to want what an undo would remove. It ends when one of its
// choices is made, or when another operation has settled what it was about.
type unresolved struct {
	op     *operation
	path   string // of the journal
	unsure bool   // whether what has the machine's name is what it is about
}

// unresolvedOf returns the operations of a machine that wait for a choice, oldest first.
func (s *Service) unresolvedOf(machine string) []*unresolved {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unresolvedLocked(machine)
}

// unresolvedLocked is unresolvedOf with mu held.
func (s *Service) unresolvedLocked(machine string) []*unresolved {
	var list []*unresolved
	for _, u := range s.unresolved {
		if u.op.machine == machine {
			list = append(list, u)
		}
	}
	slices.SortFunc(list, func(a, b *unresolved) int { return strings.Compare(a.op.id, b.op.id) })
	return list
}

// leave ends an operation that could not be taken back whole.
func (s *Service) leave(op *operation, j *journal, cause error) {
	p := problem.From(cause)
	if !s.worthAsking(op, j) {
		// Nothing of it is left to be taken back or gone on with: it has failed, that is all.
		if err := j.remove(); err != nil {
			s.log.Error("journal not removed", "operation", op.id, "error", err)
		}
		s.end(op, cause)
		return
	}
	if err := j.write(journalEntry{Event: "unresolved", Code: p.Code, Message: p.Message, Time: time.Now()}); err != nil {
		s.log.Error("an operation that waits for a choice is not marked as such: the next daemon takes it back, if it is still about the same VM",
			"operation", op.id, "error", err)
	}
	j.close()
	s.reloadAfter(op)
	u := &unresolved{op: op, path: j.path}
	s.finish(op, s.pending(u, p))
}

// worthAsking reports whether anything of a failed operation could still be
// taken back or gone on with.
func (s *Service) worthAsking(op *operation, j *journal) bool {
	undoable := func(st step) bool { return st.undo != nil }
	if j.file == nil || op.kind != KindMigrate && !slices.ContainsFunc(op.plan.steps, undoable) {
		return false
	}
	r, err := readJournal(j.path)
	ctx, cancel := context.WithTimeout(s.ctx, s.limits.ask)
	defer cancel()
	return err != nil || s.standingOf(ctx, op.plan, r, true) != gone
}

// pending registers an unresolved operation, and returns the change that makes its
// value say so.
func (s *Service) pending(u *unresolved, p *problem.Error) func(*Operation) {
	choices := s.choicesOf(u)
	why := *p
	why.Hint = "nixvmd operations lists what can be done: nixvmd operations resume, undo or forget " + u.op.id
	why.Retryable = false
	return func(o *Operation) { // mu is held
		s.unresolved[u.op.id] = u
		o.State, o.Problem, o.Message, o.Choices = OpUnresolved, &why, why.Message, choices
	}
}

// choicesOf says what can be done about an unresolved operation, and what each
// would do now.
func (s *Service) choicesOf(u *unresolved) []Choice {
	r, err := readJournal(u.path)
	if err != nil {
		return []Choice{forgetting}
	}
	var list []Choice
	if !u.unsure {
		list = append(list, Choice{Action: ActionResume, Effect: "goes on with it: " + strings.Join(remaining(u.op.plan, r), ", ")})
	}
	undo := Choice{Action: ActionUndo, Confirm: u.unsure}
	var effects []string
	for _, st := range slices.Backward(u.op.plan.steps) {
		if !r.begun[st.name] || r.undone[st.name] || st.undo == nil {
			continue
		}
		if st.undoes != "" {
			effects = append(effects, st.undoes)
		}
		undo.Confirm = undo.Confirm || st.loses
	}
	if len(effects) > 0 {
		undo.Effect = strings.Join(effects, ", ")
		if u.unsure {
			undo.Effect += "; the VM that has the name now may be another one"
		}
		list = append(list, undo)
	}
	return append(list, forgetting)
}

var forgetting = Choice{Action: ActionForget, Effect: "leaves everything as it is now, and does not ask again"}

// remaining are the titles of the steps that are not done.
func remaining(p plan, r journalRecord) []string {
	var titles []string
	for _, st := range p.steps {
		if !r.done[st.name] {
			titles = append(titles, st.title)
		}
	}
	if len(titles) == 0 {
		titles = []string{"nothing is left to do"}
	}
	return titles
}

// settle ends an unresolved operation: its journal goes, last says how it ended.
func (s *Service) settle(u *unresolved, why string, last func(*Operation)) error {
	s.mu.Lock()
	known := s.unresolved[u.op.id] == u
	s.mu.Unlock()
	if !known {
		return nil
	}
	if err := removeJournal(u.path); err != nil {
		return fmt.Errorf("remove the journal of operation %s: %w", u.op.id, err)
	}
	s.log.Info("an unresolved operation is settled", "operation", u.op.id, "kind", u.op.kind, "machine", u.op.machine, "by", why)
	s.updateOperation(u.op, func(o *Operation) {
		delete(s.unresolved, u.op.id)
		o.State, o.Choices, o.Message = OpFailed, nil, o.Problem.Message+" ("+why+")"
		if last != nil {
			last(o)
		}
	})
	return nil
}

// settleBy is settle for one that another operation has made pointless.
func (s *Service) settleBy(u *unresolved, why string) {
	if err := s.settle(u, why, nil); err != nil {
		s.log.Error("an operation still waits for a choice that nobody needs to make", "error", err)
	}
}

// supersede settles what an operation that begins has found not to be there: it
// makes the VM, or the snapshot, anew.
func (s *Service) supersede(op *operation) {
	for _, u := range s.unresolvedOf(op.machine) {
		if makes[op.kind] || op.kind == KindSnapshot && u.op.kind == KindSnapshot && u.op.plan.snapshot == op.plan.snapshot {
			s.settleBy(u, fmt.Sprintf("%s makes it anew", op.kind))
		}
	}
}

// settleAfter settles what an operation that has ended has decided or removed. Of
// the others it notes that their machine has been used since.
func (s *Service) settleAfter(op *operation, err error) {
	if op.machine == "" || op.kind == KindResolve {
		return
	}
	if err == nil {
		for _, u := range s.unresolvedOf(op.machine) {
			if decides(op, u.op) {
				s.settleBy(u, fmt.Sprintf("%s has decided it", op.kind))
				continue
			}
			if err := s.touch(u); err != nil {
				s.log.Error("journal not written", "operation", u.op.id, "error", err)
			}
		}
	}
	s.recheck(op.machine)
}

// touch notes in a journal that the machine has been used since the operation
// failed: it is not gone on with unasked any more.
func (s *Service) touch(u *unresolved) error {
	j, err := openJournal(u.path)
	if err != nil {
		return err
	}
	defer j.close()
	return j.append("touched", "")
}

// decides reports whether an operation that has succeeded settles an older one.
func decides(done, old *operation) bool {
	switch done.kind {
	case KindDestroy, KindPurge:
		return true
	case KindDeleteSnapshot:
		return old.kind == KindSnapshot && old.plan.snapshot == done.plan.snapshot ||
			old.kind == KindRestoreSnapshot && old.plan.safety == done.plan.snapshot
	case KindRestoreSnapshot, KindMigrate:
		return old.kind == done.kind || old.kind == KindStart
	case KindStart, KindStop, KindKill, KindReboot, KindSuspend, KindResume:
		return old.kind == KindStart
	}
	return false
}

// recheck ends the unresolved operations of a machine that have nothing left to
// act on.
func (s *Service) recheck(machine string) {
	if machine == "" {
		return
	}
	for _, u := range s.unresolvedOf(machine) {
		r, err := readJournal(u.path)
		if err != nil {
			continue
		}
		if s.standingOf(s.ctx, u.op.plan, r, true) == gone {
			s.settleBy(u, "nothing is left of it")
		}
	}
}

// Resolve makes one of the choices of an unresolved operation. What loses data
// must be confirmed by the machine's name. It returns the operation that does it;
// for forget, the one that is forgotten.
func (s *Service) Resolve(_ context.Context, id string, action Action, confirm, client string) (Operation, error) {
	op, err := s.find(id)
	if err != nil {
		return Operation{}, err
	}
	s.mu.Lock()
	u, v := s.unresolved[id], op.value
	s.mu.Unlock()
	at := slices.IndexFunc(v.Choices, func(c Choice) bool { return c.Action == action })
	switch {
	case u == nil:
		return Operation{}, resolved(v)
	case at < 0:
		return Operation{}, problem.New(problem.OperationResolved, "%s of %s does not offer to %s", v.Kind, v.Subject(), action).
			WithHint("nixvmd operations lists what it offers")
	case v.Choices[at].Confirm && confirm != op.machine:
		return Operation{}, problem.New(problem.ConfirmRequired, "%s of the %s of %s needs a confirmation: it %s", action, v.Kind, v.Subject(), v.Choices[at].Effect).
			WithHint("repeat the machine's name: --confirm %s (confirm in the request)", op.machine)
	}
	if action == ActionForget {
		if err := s.forget(u); err != nil {
			return Operation{}, err
		}
		return s.snapshotOf(op), nil
	}
	return s.beginResolve(u, action, client)
}

// resolved is the problem of an operation that nothing needs to be chosen for.
func resolved(v Operation) *problem.Error {
	return problem.New(problem.OperationResolved, "%s of %s does not wait for a choice: it is %s", v.Kind, v.Subject(), v.State).
		WithHint("nixvmd operations lists those that do")
}

func (s *Service) forget(u *unresolved) error {
	s.mu.Lock()
	running := s.running[u.op.machine]
	s.mu.Unlock()
	if running != nil && running.value.Resolves == u.op.id {
		return busy(u.op.machine, running)
	}
	return s.settle(u, "forgotten", nil)
}

func (s *Service) beginResolve(u *unresolved, action Action, client string) (Operation, error) {
	op := s.newOperation(Operation{
		Kind: KindResolve, Machine: u.op.machine, Client: client, Resolves: u.op.id, Snapshot: u.op.plan.snapshot,
	})
	if err := s.reserve(op); err != nil {
		return Operation{}, err
	}
	s.mu.Lock()
	known := s.unresolved[u.op.id] == u
	s.mu.Unlock()
	if !known { // settled between
		s.release(op)
		return Operation{}, resolved(s.snapshotOf(u.op))
	}
	s.updateOperation(op, func(o *Operation) {
		o.Message = fmt.Sprintf("%s of the %s of %s", action, u.op.kind, u.op.value.Subject())
	})
	go func() {
		defer s.works.Done()
		defer op.cancel(nil)
		err := s.resolve(op, u, action)
		if err == nil {
			err = s.settle(u, string(action)+" has succeeded", func(o *Operation) {
				o.State, o.Problem, o.Message = OpSucceeded, nil, ""
				if action == ActionUndo {
					o.State, o.Message = OpCancelled, "it has been undone"
				}
			})
		} else {
			s.stillPending(u, err)
		}
		s.end(op, err)
		s.recheck(op.machine)
	}()
	return s.snapshotOf(op), nil
}

// resolve does what was chosen, and notes in the journal how far it has come.
func (s *Service) resolve(op *operation, u *unresolved, action Action) error {
	r, err := readJournal(u.path)
	if err != nil {
		return fmt.Errorf("read the journal: %w", err)
	}
	j, err := openJournal(u.path)
	if err != nil {
		return err
	}
	defer j.close()
	j.hook = s.journalHook
	ctx, cancel := context.WithTimeout(op.ctx, resolveLimit)
	defer cancel()
	if s.standingOf(ctx, u.op.plan, r, true) == gone {
		// What settles it then has failed, as on a disk that cannot be written.
		return problem.New(problem.OperationResolved, "nothing is left of what the %s of %s was about", u.op.kind, s.snapshotOf(u.op).Subject()).
			WithHint("nixvmd operations forget %s", u.op.id)
	}
	if action == ActionUndo {
		_, begun := progressOf(u.op.plan, r)
		return s.undo(ctx, u.op.plan.steps[:begun], j, op, r.undone)
	}
	op.plan = u.op.plan
	s.updateOperation(op, func(o *Operation) { o.Steps = len(op.plan.steps) })
	completed := 0
	for _, st := range op.plan.steps {
		if !r.done[st.name] {
			s.enterStep(op, op.plan, completed)
			if err := s.again(ctx, op, j, st, r.begun[st.name] && !r.undone[st.name]); err != nil {
				return err
			}
		}
		completed++
	}
	return nil
}

// resolveLimit bounds what was chosen for an unresolved operation: as long as the
// slowest thing that one may have to do again, the copy of a disk.
const resolveLimit = 2 * time.Hour

// again does one step of an operation that is gone on with.
func (s *Service) again(ctx context.Context, op *operation, j *journal, st step, half bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := j.append("begin", st.name); err != nil {
		return err
	}
	err := s.unlessForced(op, func() error { return st.do(ctx, &run{service: s, op: op, half: half}) })
	if err != nil {
		return fmt.Errorf("%s: %w", st.title, err)
	}
	return j.append("done", st.name)
}

// stillPending says anew what can be done about an operation, and why it is still
// unresolved.
func (s *Service) stillPending(u *unresolved, err error) {
	p := problem.From(err)
	if errors.Is(err, context.Canceled) || p.Code == problem.Cancelled {
		p = s.snapshotOf(u.op).Problem // as before
	}
	if j, jerr := openJournal(u.path); jerr == nil {
		_ = j.write(journalEntry{Event: "unresolved", Code: p.Code, Message: p.Message, Time: time.Now()})
		j.close()
	}
	s.updateOperation(u.op, s.pending(u, p))
}

// doctorOperations names what waits for a choice, and journals that cannot be read.
func (s *Service) doctorOperations() []Finding {
	var list []Finding
	for _, op := range s.Operations() {
		if op.State != OpUnresolved {
			continue
		}
		list = append(list, Finding{
			Area: "operation " + op.ID, Code: "operation.unresolved", Severity: backends.Warning,
			Message: fmt.Sprintf("%s of %s could not be taken back whole: %s", op.Kind, op.Subject(), op.Problem.Message),
			Fix:     "nixvmd operations lists what can be done; nixvmd operations forget " + op.ID + " leaves everything as it is",
		})
	}
	for _, err := range s.unreadable {
		list = append(list, Finding{
			Area: "operations", Code: "journal.unreadable", Severity: backends.Warning, Message: err.Error(),
			Fix: "check the machine that it names, then move the file away",
		})
	}
	return list
}
