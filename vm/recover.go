package vm

import (
	"fmt"

	"github.com/nixvm/nixvm/internal/problem"
)

// recoverOperations takes up what an earlier daemon had not ended: operations
// that had not reached their commit point are undone, the others finished. It
// returns when every one of them holds its machine; the work goes on behind.
func (s *Service) recoverOperations() error {
	records, bad, err := readJournals(s.layout.Journal())
	if err != nil {
		return fmt.Errorf("read journals: %w", err)
	}
	for _, path := range bad {
		s.log.Error("a journal cannot be read and is left alone; check the machine that it names", "path", path)
	}
	for _, r := range records {
		if err := s.recoverOperation(r); err != nil {
			s.log.Error("an interrupted operation cannot be taken up; its journal is kept", "path", r.path, "error", err)
		}
	}
	return nil
}

func (s *Service) recoverOperation(r journalRecord) error {
	h := r.header
	build, known := planners[h.Kind]
	if !known {
		return fmt.Errorf("unknown kind of operation %q", h.Kind)
	}
	p, err := build(s, h.Machine, h.Args)
	if err != nil {
		return err
	}
	j, err := openJournal(r.path)
	if err != nil {
		return err
	}
	j.hook = s.journalHook
	// The source of a clone is free: what is finished has its copy, what is undone
	// needs none.
	op := s.newOperation(Operation{ID: h.ID, Kind: h.Kind, Machine: h.Machine, Source: h.Source, Started: h.Started, Client: h.Client})
	op.plan = p
	if err := s.reserve(op); err != nil {
		return err
	}
	done, begun := progressOf(p, r)
	undoing := len(done) < p.commit || r.undoing
	s.log.Info("operation interrupted by the end of an earlier daemon", "operation", h.ID, "kind", h.Kind, "machine", h.Machine, "undoing", undoing)
	if !undoing {
		s.launch(op, j, done)
		return nil
	}
	s.works.Add(1)
	go func() {
		defer s.works.Done()
		s.undoInterrupted(op, p.steps[:begun], j, r)
	}()
	return nil
}

// progressOf returns the steps that are done and how many had begun.
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
	return done, begun
}

func (s *Service) undoInterrupted(op *operation, steps []step, j *journal, r journalRecord) {
	err := s.undo(steps, j, op, r.undone)
	message := fmt.Sprintf("%s of %s was interrupted by the end of the daemon and has been undone", op.kind, s.snapshotOf(op).Subject())
	if err != nil {
		j.close() // the next start tries again
		message = fmt.Sprintf("%s of %s was interrupted and could not be undone: %v", op.kind, s.snapshotOf(op).Subject(), err)
	} else if rerr := j.remove(); rerr != nil {
		s.log.Error("journal not removed", "operation", op.id, "error", rerr)
	}
	s.reloadAfter(op)
	s.endInterrupted(op, message)
}

func (s *Service) endInterrupted(op *operation, message string) {
	s.finish(op, func(o *Operation) {
		o.State, o.Message = OpInterrupted, message
		o.Problem = problem.New(problem.OperationInterrupt, "%s", message).WithHint("ask for it again if it is still wanted").Retry()
	})
}
