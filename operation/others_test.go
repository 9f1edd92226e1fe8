package operation

import (
	"fmt"
	"testing"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

// cutOff is a world with a clone of a to b that is interrupted in a step which the test
// names, after the one of another kind on a key of it has begun to wait for its end.
func cutOff(t *testing.T, step string, then api.Kind, of string) (w *world, clone api.Operation) {
	t.Helper()
	w = made(t)
	release := w.hangs("do " + step)
	clone, err := w.clone("a", "b")
	if err != nil {
		t.Fatal(err)
	}
	<-w.hung
	if then != "" {
		if _, err := w.begin(then, of, ""); err != nil {
			t.Fatalf("%s of %s while the clone runs: %v", then, of, err)
		}
	}
	w.mu.Lock()
	w.dieIn = 1
	w.mu.Unlock()
	w.entry(Entry{Event: "note"}) // the daemon is dead, and notices that when the step is done
	release()
	w.close()
	delete(w.hang, "do "+step)
	return w, clone
}

// An operation whose steps change what its other keys stand for holds those keys again
// while it is undone or finished, and only as long as that is so.
func TestARecoveredOperationHoldsWhatItChanges(t *testing.T) {
	for entries, want := range map[int]struct {
		next  string // step that shows it: of the undo, or that goes on
		other bool
	}{
		2:  {"undo claim", false},  // claim is done
		3:  {"undo borrow", true},  // borrow has begun
		7:  {"undo borrow", true},  // part is done
		9:  {"undo borrow", false}, // back is done
		11: {"do ready", false},    // record is done
	} {
		t.Run(fmt.Sprintf("after %d entries", entries), func(t *testing.T) {
			w := made(t)
			w.mu.Lock()
			w.dieIn = entries
			w.mu.Unlock()
			clone, err := w.clone("a", "b")
			if err != nil {
				t.Fatal(err)
			}
			if _, over := w.end(clone); over {
				t.Fatal("it was not cut off")
			}
			w.close()
			release := w.hangs(want.next)
			defer release()
			w.open()
			<-w.hung
			if op, held := w.engine.Holder("a"); held != want.other || held && op.ID != clone.ID {
				t.Errorf("the other key is held by %+v, %v", op, held)
			}
			_, err = w.begin(api.KindStart, "a", "")
			if problem.HasCode(err, problem.VMBusy) != want.other {
				t.Errorf("an operation on it: %v", err)
			}
			release()
			w.end(clone)
		})
	}
}

// What had preempted an operation, and waited for its end when the daemon died, still comes
// after it: that is undone first, and nothing of it is left to be chosen about.
func TestWhatWaitedForAnUndoWaitsAgain(t *testing.T) {
	for _, of := range []string{"a", "b"} {
		t.Run("destroy of "+of, func(t *testing.T) {
			w, clone := cutOff(t, "part", api.KindDestroy, of)
			w.open()
			for _, op := range w.engine.List() {
				op, _ = w.end(op)
				want := api.OpSucceeded
				if op.ID == clone.ID {
					want = api.OpInterrupted
				}
				if op.State != want {
					t.Errorf("%s is %s: %v", op.Kind, op.State, op.Problem)
				}
			}
			if left := w.journals(); len(left) > 0 || w.incomplete("b") || (w.instance("a") == "") != (of == "a") {
				t.Errorf("left: journals %v, b %v, a %q", left, w.incomplete("b"), w.instance("a"))
			}
		})
	}
}
