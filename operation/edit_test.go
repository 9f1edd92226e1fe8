package operation

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

// made is a world with the thing a.
func made(t *testing.T, change ...func(*Options)) *world {
	t.Helper()
	w := newWorld(t, t.TempDir())
	w.open(change...)
	t.Cleanup(w.close)
	op, err := w.begin(api.KindCreate, "a", "")
	if err == nil {
		op, _ = w.end(op)
	}
	if err != nil || op.State != api.OpSucceeded {
		t.Fatalf("create: %s, %v", op.State, err)
	}
	return w
}

// hangs makes a step wait until the returned function is called, regardless
// of its context.
func (w *world) hangs(step string) (release func()) {
	ch := make(chan struct{})
	w.mu.Lock()
	w.hang[step] = ch
	w.mu.Unlock()
	var once sync.Once
	release = func() { once.Do(func() { close(ch) }) }
	return release
}

// Read, changed and written as a whole by many at once, a counter misses none.
func TestEditsLoseNoUpdate(t *testing.T) {
	w := made(t)
	path := w.thing("a", "counter")
	if err := os.WriteFile(path, []byte("0"), 0o600); err != nil {
		t.Fatal(err)
	}
	const editors = 30
	var all sync.WaitGroup
	for range editors {
		all.Go(func() {
			err := w.engine.Edit(background, Edit{Key: "a", What: "it is being counted"}, func(context.Context) error {
				text, err := os.ReadFile(path)
				n, cerr := strconv.Atoi(string(text))
				if err := errors.Join(err, cerr); err != nil {
					return err
				}
				return os.WriteFile(path, []byte(strconv.Itoa(n+1)), 0o600)
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if text, err := os.ReadFile(path); err != nil || string(text) != fmt.Sprint(editors) {
		t.Errorf("%s, %v", text, err)
	}
}

func TestAnEditAndAnOperationTakeTurns(t *testing.T) {
	w := made(t)
	release := w.hangs("do nothing")
	defer release()
	op, err := w.begin(api.KindStart, "a", "")
	if err != nil {
		t.Fatal(err)
	}
	none := Edit{Key: "a", What: "it is being changed"}
	err = w.engine.Edit(background, none, func(context.Context) error { return nil })
	if !problem.HasCode(err, problem.VMBusy) {
		t.Errorf("an edit during an operation: %v", err)
	}
	beside := Edit{Key: "a", What: "it is being changed", Beside: func(kind api.Kind) bool { return kind == api.KindStart }}
	if err := w.engine.Edit(background, beside, func(context.Context) error { return nil }); err != nil {
		t.Errorf("an edit beside an operation: %v", err)
	}
	release()
	w.end(op)

	// The other way round: the operation begins when the edit has ended.
	editing, finish := make(chan struct{}), make(chan struct{})
	edited, begun := make(chan error, 1), make(chan error, 1)
	go func() {
		edited <- w.engine.Edit(background, none, func(context.Context) error {
			close(editing)
			<-finish
			return nil
		})
	}()
	<-editing
	go func() {
		op, err := w.begin(api.KindStart, "a", "")
		if err == nil {
			w.end(op)
		}
		begun <- err
	}()
	select {
	case err := <-begun:
		t.Errorf("an operation has begun during an edit: %v", err)
	default:
	}
	close(finish)
	if err := errors.Join(<-edited, <-begun); err != nil {
		t.Error(err)
	}
}

// Every wait is bounded: an edit that does not end makes others fail, with a reason,
// and what does not wait gets past it.
func TestAnEditThatHangsHoldsNothingUpForEver(t *testing.T) {
	w := made(t, func(o *Options) {
		o.Limits.Edit, o.Limits.Soon = 20*time.Millisecond, 20*time.Millisecond // not the minute of a step
	})
	editing, finish := make(chan struct{}), make(chan struct{})
	defer close(finish)
	edited := make(chan error, 1)
	go func() {
		edited <- w.engine.Edit(background, Edit{Key: "a", What: "it is being changed"}, func(context.Context) error {
			close(editing)
			<-finish // even if the context ends
			return nil
		})
	}()
	<-editing
	if _, err := w.begin(api.KindStart, "a", ""); !problem.HasCode(err, problem.VMBusy) || !problem.From(err).Retryable {
		t.Errorf("start: %v", err)
	}
	err := w.engine.Edit(background, Edit{Key: "a"}, func(context.Context) error { return nil })
	if !problem.HasCode(err, problem.VMBusy) {
		t.Errorf("a second edit: %v", err)
	}
	op, err := w.begin(api.KindDestroy, "a", "")
	if err != nil {
		t.Fatal(err)
	}
	if op, _ = w.end(op); op.State != api.OpSucceeded {
		t.Errorf("destroy is %s: %v", op.State, op.Problem)
	}
	if err := <-edited; !problem.HasCode(err, problem.Cancelled) {
		t.Errorf("the edit that was given up: %v", err)
	}
}

// An edit whose request ends keeps its key until it has returned.
func TestAnEditThatIsNotWaitedForKeepsItsKey(t *testing.T) {
	w := made(t, func(o *Options) { o.Limits.Soon, o.Limits.Edit = time.Millisecond, time.Minute })
	ctx, cancel := context.WithCancel(background)
	finish := make(chan struct{})
	err := w.engine.Edit(ctx, Edit{Key: "a"}, func(context.Context) error {
		cancel()
		<-finish
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the edit: %v", err)
	}
	w.engine.mu.Lock()
	held := w.engine.edits["a"] != nil
	w.engine.mu.Unlock()
	if !held {
		t.Error("the key is free, and the edit still runs")
	}
	close(finish)
	if err := w.engine.Edit(background, Edit{Key: "a"}, func(context.Context) error { return nil }); err != nil {
		t.Error(err)
	}
}
