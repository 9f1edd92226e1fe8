package operation

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

// As long as it is found out what the plan must remember, an operation is neither
// listed nor told of; its id can be cancelled, and its key is held.
func TestAnOperationIsInvisibleUntilItIsJournalled(t *testing.T) {
	w := made(t)
	before := len(w.engine.List())
	finding, refused := make(chan struct{}), make(chan error, 1)
	go func() {
		v := api.Operation{Kind: api.KindStart, Machine: "a"}
		_, err := Begin(background, w.engine, v, func(ctx context.Context) (argsOf, error) {
			close(finding)
			<-ctx.Done()
			return argsOf{}, ctx.Err()
		})
		refused <- err
	}()
	<-finding
	op, held := w.engine.Holder("a")
	if !held || op.Kind != api.KindStart {
		t.Errorf("the key is held by %+v, %v", op, held)
	}
	w.mu.Lock()
	_, told := w.told[op.ID]
	w.mu.Unlock()
	if len(w.engine.List()) != before || w.engine.StateOf("a").Running != nil || told {
		t.Error("it is visible")
	}
	if _, err := w.begin(api.KindStart, "a", ""); !problem.HasCode(err, problem.VMBusy) {
		t.Errorf("a second one: %v", err)
	}
	followed := make(chan error, 2)
	task, err := w.engine.lookUp(op.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, follow := range []func(context.Context) (api.Operation, error){
		task.begun,
		func(ctx context.Context) (api.Operation, error) { return w.engine.Wait(ctx, op.ID) },
	} {
		go func() {
			_, err := follow(background)
			followed <- err
		}()
	}
	if err := w.engine.Cancel(op.ID); err != nil {
		t.Error(err)
	}
	if err := <-refused; !problem.HasCode(err, problem.Cancelled) {
		t.Errorf("it ends with %v", err)
	}
	if err := <-followed; !problem.HasCode(err, problem.Cancelled) {
		t.Errorf("one that follows it reads %v", err)
	}
	if err := <-followed; !problem.HasCode(err, problem.Cancelled) && !problem.HasCode(err, problem.OperationNotFound) {
		t.Errorf("one that follows it reads %v", err)
	}
	if _, held := w.engine.Holder("a"); held || len(w.engine.List()) != before {
		t.Error("something of it is left")
	}
}

// While an operation that does not wait is being prepared, and when it is refused, the
// one that has to give way still runs, and is shown.
func TestWhatGivesWayRunsUntilTheOtherIsJournalled(t *testing.T) {
	w := made(t)
	release := w.hangs("do nothing")
	defer release()
	start, err := w.begin(api.KindStart, "a", "")
	if err != nil {
		t.Fatal(err)
	}
	<-w.hung
	shown := func(when string) {
		t.Helper()
		one, all := w.engine.StateOf("a").Running, w.engine.States()["a"].Running
		if one == nil || all == nil || one.ID != start.ID || all.ID != start.ID {
			t.Errorf("%s: it runs %+v, in the list of all %+v", when, one, all)
		}
	}
	_, err = Begin(background, w.engine, api.Operation{Kind: api.KindKill, Machine: "a"}, func(context.Context) (argsOf, error) {
		_, err := Begin(background, w.engine, api.Operation{Kind: api.KindDestroy, Machine: "a"}, func(context.Context) (argsOf, error) {
			shown("while a destroy passes a kill that is being prepared")
			return argsOf{}, errFault
		})
		shown("while a kill is being prepared")
		return argsOf{}, err
	})
	if !errors.Is(err, errFault) {
		t.Fatal(err)
	}
	shown("after both were refused")
}

// A step that does not heed its context does not keep the daemon from ending. The
// journal stays, and the next daemon goes on.
func TestCloseDoesNotWaitForWhatHangs(t *testing.T) {
	for what, step := range map[string]string{"before its commit point": "do part", "while it is undone": "undo claim", "after its commit point": "do ready"} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t, t.TempDir())
			w.open(func(o *Options) { o.Limits.Close = 50 * time.Millisecond })
			release := w.hangs(step)
			w.fail["do record"] = step == "undo claim"
			op, err := w.begin(api.KindCreate, "a", "")
			if err != nil {
				t.Fatal(err)
			}
			<-w.hung
			err = w.engine.Close()
			if err == nil {
				t.Error("nothing is said of what still runs")
			}
			release()
			// What was given up must have returned before the next daemon may begin.
			if err := w.engine.calls.Close(background); err != nil {
				t.Fatal(err)
			}
			if !w.journals()[op.ID] {
				t.Fatal("the journal is gone")
			}
			w.hang = map[string]chan struct{}{}
			clear(w.fail)
			w.open()
			defer w.close()
			for _, op := range w.engine.List() {
				if op, _ = w.end(op); op.State == api.OpUnresolved {
					t.Errorf("it waits for a choice: %s", op.Message)
				}
			}
			_, err = os.Stat(w.thing("a"))
			if whole := w.instance("a") != ""; whole != (step == "do ready") || whole != (err == nil) {
				t.Errorf("it is whole: %v, %v", whole, err)
			}
		})
	}
}

func TestNothingBeginsOnceItIsClosed(t *testing.T) {
	w := newWorld(t, t.TempDir())
	w.open()
	w.close()
	if _, err := w.begin(api.KindCreate, "a", ""); !problem.HasCode(err, problem.DaemonUnreachable) {
		t.Errorf("an operation: %v", err)
	}
	err := w.engine.Edit(background, Edit{Key: "a"}, func(context.Context) error { return nil })
	if !problem.HasCode(err, problem.DaemonUnreachable) {
		t.Errorf("an edit: %v", err)
	}
	if err := w.engine.Close(); err != nil {
		t.Errorf("a second Close: %v", err)
	}
}

// A step that says that it has done nothing is not undone: where the undo cannot work
// either, no choice is needed.
func TestAStepThatHasDoneNothingIsNotUndone(t *testing.T) {
	for _, untouched := range []bool{true, false} {
		w := newWorld(t, t.TempDir())
		undone := false
		w.open(func(o *Options) {
			o.Verbs[api.KindStart] = Verb{Plan: w.planOf(func(*world, argsOf) Plan {
				return Plan{Commit: 1, Steps: []Step{{
					Name: "one", Title: "doing one",
					Do: func(context.Context, *Run) error {
						if untouched {
							return problem.Untouched(errFault)
						}
						return errFault
					},
					Undo: func(context.Context, *Run) error {
						undone = true
						return errors.New("it does not answer either")
					},
				}}}
			})}
		})
		op, err := Begin(background, w.engine, api.Operation{Kind: api.KindStart, Machine: "a"}, func(context.Context) (argsOf, error) { return argsOf{Key: "a"}, nil })
		if err != nil {
			t.Fatal(err)
		}
		op, _ = w.end(op)
		if undone == untouched || op.State != api.OpFailed && untouched {
			t.Errorf("untouched: %v, undone: %v, it is %s", untouched, undone, op.State)
		}
		w.close()
	}
}

// A note is given to the undo in the same daemon, too, and one that is too long, or
// comes when the operation is over, is refused.
func TestANoteIsBounded(t *testing.T) {
	w := newWorld(t, t.TempDir())
	var run *Run
	w.open(func(o *Options) {
		o.Verbs[api.KindStart] = Verb{Plan: w.planOf(func(*world, argsOf) Plan {
			return Plan{Steps: []Step{{Name: "one", Title: "doing one", Do: func(_ context.Context, r *Run) error {
				run = r
				if err := r.Note(make([]byte, maxNote)); err == nil {
					t.Error("a long note was taken")
				}
				return r.Note("short")
			}}}}
		})}
	})
	defer w.close()
	op, err := Begin(background, w.engine, api.Operation{Kind: api.KindStart, Machine: "a"}, func(context.Context) (argsOf, error) { return argsOf{Key: "a"}, nil })
	if err != nil {
		t.Fatal(err)
	}
	if op, _ = w.end(op); op.State != api.OpSucceeded {
		t.Errorf("it is %s: %v", op.State, op.Problem)
	}
	if err := run.Note("late"); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a note after the end: %v", err)
	}
	if left := w.journals(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// What follows a line that cannot be read is cut off before anything is appended:
// wherever the power went, the entries of the next daemon are read.
func TestAppendingCutsOffWhatCannotBeRead(t *testing.T) {
	whole := `{"version":2,"id":"x","kind":"stop","machine":"demo","args":{}}` + "\n" + `{"event":"begin","step":"a"}` + "\n"
	for what, tail := range map[string]string{
		"nothing":                     "",
		"half a line":                 `{"event":"do`,
		"a line without its end":      `{"event":"done","step":"a"}`,
		"a damaged line":              "\x00\x00\x00\n",
		"a line after a damaged line": "\x00\n" + `{"event":"done","step":"a"}` + "\n",
	} {
		path := filepath.Join(t.TempDir(), "x.jsonl")
		if err := os.WriteFile(path, []byte(whole+tail), 0o600); err != nil {
			t.Fatal(err)
		}
		before, err := readJournal(path, nil)
		if err != nil || !before.begun["a"] || before.done["a"] {
			t.Errorf("%s: read %+v, %v", what, before, err)
		}
		j, err := openJournal(path)
		if err == nil {
			err = j.append("undone", "a")
		}
		if err != nil {
			t.Fatal(err)
		}
		j.close()
		if after, err := readJournal(path, nil); err != nil || !after.undone["a"] || after.done["a"] {
			t.Errorf("%s: after an entry, read %+v, %v", what, after, err)
		}
	}
}
