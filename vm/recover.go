package vm

import (
	"context"
	"fmt"

	"github.com/nixvm/nixvm/internal/problem"
)

// recoverOperations takes up what an earlier daemon had not ended. Operations
// that ran when it ended are undone when they had not reached their commit point,
// and finished otherwise; those that had failed before, and could not be taken
// back, wait for a choice. What is about a VM that is gone is forgotten. It
// returns when every operation that goes on holds its machine; the work goes on
// behind.
func (s *Service) recoverOperations() error {
	records, bad, err := readJournals(s.layout.Journal())
	if err != nil {
		return fmt.Errorf("read journals: %w", err)
	}
	// Of a machine that had two, only the newest ran on: the other gave way to it.
	newest := map[string]string{}
	for _, r := range records {
		if r.unresolved == nil {
			newest[r.header.Machine] = r.header.ID
		}
	}
	for _, r := range records {
		m := r.header.Machine
		if err := s.recoverOperation(r, r.unresolved != nil || m != "" && newest[m] != r.header.ID); err != nil {
			bad = append(bad, fmt.Errorf("journal %s: %w", r.path, err))
		}
	}
	for _, err := range bad {
		s.log.Error("a journal cannot be taken up and is left alone; check the machine that it names", "error", err)
	}
	s.unreadable = bad
	return nil
}

// recoverOperation takes up one. late: its daemon had gone on without it.
func (s *Service) recoverOperation(r journalRecord, late bool) error {
	h := r.header
	p, err := planners[h.Kind](s, h.Machine, h.Args)
	if err != nil {
		return err
	}
	if h.Version == 1 && r.undoing {
		late = true // version 1 does not say whether it was just being undone, or could not be
	}
	ctx, cancel := context.WithTimeout(s.ctx, s.limits.ask)
	defer cancel()
	// The source of a clone is free: what is finished has its copy, what is undone
	// needs none.
	op := s.newOperation(Operation{
		ID: h.ID, Kind: h.Kind, Machine: h.Machine, Source: h.Source, Started: h.Started, Client: h.Client, Snapshot: p.snapshot,
	})
	op.source, op.plan, op.instance = "", p, h.Instance
	st := s.standingOf(ctx, p, r, late)
	switch {
	case st == gone && (late || !makes[h.Kind]):
		s.log.Info("what an operation of an earlier daemon was about is gone: it is forgotten", "operation", h.ID, "kind", h.Kind, "machine", h.Machine)
		return removeJournal(r.path)
	case late && h.Kind == KindMigrate && !r.touched && st == ours:
		// It is not taken back but gone on with, as nobody has touched the VM since.
	case late || st == unsure:
		s.recoverUnresolved(op, r, st == unsure)
		return nil
	}
	return s.goOn(op, r)
}

// goOn finishes or undoes what ran when an earlier daemon ended.
func (s *Service) goOn(op *operation, r journalRecord) error {
	j, err := openJournal(r.path)
	if err != nil {
		return err
	}
	j.hook, j.lenient = s.journalHook, spaceless[op.kind]
	if err := s.reserve(op); err != nil {
		j.close()
		return err
	}
	p := op.plan
	done, begun := progressOf(p, r)
	undoing := len(done) < p.commit || r.undoing
	s.log.Info("operation interrupted by the end of an earlier daemon", "operation", op.id, "kind", op.kind, "machine", op.machine, "undoing", undoing)
	if !undoing {
		s.launch(op, j, done)
		return nil
	}
	go func() {
		defer s.works.Done()
		defer op.cancel(nil)
		s.undoInterrupted(op, p.steps[:begun], j, r)
	}()
	return nil
}

// recoverUnresolved lists an operation that waits for a choice.
func (s *Service) recoverUnresolved(op *operation, r journalRecord, unsure bool) {
	why := r.unresolved
	if why == nil {
		why = problem.New(problem.OperationInterrupt, "%s of %s was not taken back whole, and the daemon has gone on without it", op.kind, op.value.Subject())
	}
	if unsure {
		why = problem.New(why.Code, "%s; whether the VM that %s has now is the one that it was about cannot be told", why.Message, op.machine)
	}
	u := &unresolved{op: op, path: r.path, unsure: unsure}
	op.cancel(nil)
	last := s.pending(u, why)
	s.mu.Lock()
	defer s.mu.Unlock()
	last(&op.value)
	op.value.Ended = r.last
	op.over = true
	close(op.ended)
	s.operations = append(s.operations, op)
}

// progressOf returns the steps that are done and how many had begun. The last one
// that had begun counts as done when it has come to pass all the same.
func progressOf(p plan, r journalRecord) (done map[string]bool, begun int) {
	done = map[string]bool{}
	for i, st := range p.steps {
		if r.begun[st.name] {
			begun = i + 1
		}
		if r.done[st.name] {
			done[st.name] = true
		}
	}
	if begun > 0 && !r.undoing {
		if last := p.steps[begun-1]; !done[last.name] && last.holds != nil && last.holds() {
			done[last.name] = true
		}
	}
	return done, begun
}

func (s *Service) undoInterrupted(op *operation, steps []step, j *journal, r journalRecord) {
	subject := s.snapshotOf(op).Subject()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(op.ctx), undoLimit)
	defer cancel()
	if err := s.undo(ctx, steps, j, op, r.undone); err != nil {
		s.leave(op, j, problem.New(problem.OperationInterrupt, "%s of %s was interrupted by the end of the daemon; %w: %w", op.kind, subject, errNotUndone, err))
		return
	}
	if err := j.remove(); err != nil {
		s.log.Error("journal not removed", "operation", op.id, "error", err)
	}
	s.reloadAfter(op)
	s.recheck(op.machine)
	s.endInterrupted(op, fmt.Sprintf("%s of %s was interrupted by the end of the daemon and has been undone", op.kind, subject))
}

func (s *Service) endInterrupted(op *operation, message string) {
	s.finish(op, func(o *Operation) {
		o.State, o.Message = OpInterrupted, message
		o.Problem = problem.New(problem.OperationInterrupt, "%s", message).WithHint("ask for it again if it is still wanted").Retry()
	})
}
