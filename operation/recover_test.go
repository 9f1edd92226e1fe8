package operation

import (
	"context"
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

// left writes the journal of an operation of an earlier daemon.
func (w *world) left(kind api.Kind, key, instance string, entries ...Entry) (id string) {
	w.tb.Helper()
	args, err := json.Marshal(argsOf{Key: key, Instance: instance})
	if err != nil {
		w.tb.Fatal(err)
	}
	id = ulid.Make().String()
	j, err := createJournal(w.home+"/journal", Header{ID: id, Kind: kind, Machine: key, Instance: instance, Started: time.Now(), Args: args})
	if err != nil {
		w.tb.Fatal(err)
	}
	defer j.close()
	for _, e := range entries {
		if err := j.write(e); err != nil {
			w.tb.Fatal(err)
		}
	}
	return id
}

// waits is the entry of an operation that waits for a choice.
func waits() Entry {
	return Entry{Event: "unresolved", Code: problem.Internal, Message: "it could not be undone", Time: time.Now()}
}

// state is what has become of an operation, once it does not run any more.
func (w *world) state(id string) api.OperationState {
	w.tb.Helper()
	op, err := w.engine.Get(id)
	if err != nil {
		w.tb.Fatal(err)
	}
	op, _ = w.end(op)
	return op.State
}

// Of a key, one operation of an earlier daemon goes on: what ran, before one that may be
// gone on with although it had failed. The others wait for a choice, and none counts as
// unreadable.
func TestOneOperationOfAKeyGoesOn(t *testing.T) {
	begun := Entry{Event: "begin", Step: "nothing"}
	for name, c := range map[string]struct{ running, second bool }{
		"a failed migration, and a start that ran": {running: true},
		"two failed migrations":                    {second: true},
		"a failed migration":                       {},
	} {
		t.Run(name, func(t *testing.T) {
			w := made(t)
			w.close()
			instance := w.instance("a")
			migrate := w.left(api.KindMigrate, "a", instance, begun, waits())
			var other string
			switch {
			case c.running:
				other = w.left(api.KindStart, "a", instance, begun)
			case c.second:
				other = w.left(api.KindMigrate, "a", instance, begun, waits())
			}
			w.open()
			if bad := w.engine.Unreadable(); len(bad) > 0 {
				t.Errorf("unreadable: %v", bad)
			}
			if got := w.state(migrate); (got == api.OpUnresolved) != (other != "") {
				t.Errorf("the migration is %s", got)
			}
			if other == "" {
				return
			}
			if got := w.state(other); got != api.OpSucceeded {
				t.Errorf("the other is %s", got)
			}
			if list := w.engine.List(); len(list) != 2 || list[0].ID != migrate {
				t.Errorf("they are not listed oldest first: %+v", list)
			}
		})
	}
}

// What an older operation has left waits for a choice as long as a newer one of the same
// name is in its way: that is undone, and the older one may be about what is left then.
func TestWhatANewerOperationHidesIsNotForgotten(t *testing.T) {
	for _, undone := range []bool{true, false} {
		w, old := halfMade(t)
		w.close()
		if err := w.planCreate(argsOf{Key: "a", Instance: "newer"}).Steps[2].Do(background, nil); err != nil {
			t.Fatal(err)
		}
		var entries []Entry
		for _, step := range []string{"claim", "part", "record"} {
			entries = append(entries, Entry{Event: "begin", Step: step}, Entry{Event: "done", Step: step})
		}
		newer := w.left(api.KindCreate, "a", "newer", append(entries, Entry{Event: "undo", Step: "record"})...)
		w.fail["undo claim"] = !undone
		w.open()
		state := w.state(newer)
		if undone {
			if _, err := w.engine.Get(old.ID); state != api.OpInterrupted || err != nil || w.state(old.ID) != api.OpFailed || len(w.journals()) > 0 {
				t.Errorf("undone: the newer is %s, the older %s, %v; journals %v", state, w.state(old.ID), err, w.journals())
			}
			continue
		}
		if state != api.OpUnresolved || w.state(old.ID) != api.OpUnresolved || !w.incomplete("a") {
			t.Errorf("not undone: the newer is %s, the older %s", state, w.state(old.ID))
		}
	}
}

// An operation that is just being forgotten is not resumed, and the other way round:
// one that waits for a choice has a journal.
func TestAnOperationIsForgottenOrResumed(t *testing.T) {
	var w *world
	var resumed error
	resume := func(id string) error {
		_, err := w.engine.Resolve(background, id, api.ActionResume, "a", "test")
		return err
	}
	var old api.Operation
	w, old = halfMade(t, func(o *Options) {
		o.Log = slog.New(&calls{at: "an unresolved operation has ended", fn: func() { resumed = resume(old.ID) }})
	})
	if _, err := w.engine.Resolve(background, old.ID, api.ActionForget, "", "test"); err != nil {
		t.Fatal(err)
	}
	if !problem.HasCode(resumed, problem.OperationResolved) {
		t.Errorf("resumed while it is forgotten: %v", resumed)
	}
	if w.state(old.ID) != api.OpFailed || len(w.engine.StateOf("a").Unresolved) > 0 {
		t.Errorf("forgotten, it is %s, and %+v", w.state(old.ID), w.engine.StateOf("a"))
	}

	w, old = halfMade(t)
	release := w.hangs("do part")
	defer release()
	if err := resume(old.ID); err != nil {
		t.Fatal(err)
	}
	<-w.hung
	if _, err := w.engine.Resolve(background, old.ID, api.ActionForget, "", "test"); !problem.HasCode(err, problem.VMBusy) {
		t.Errorf("forgotten while it is resumed: %v", err)
	}
}

// calls is a log that calls fn at a message.
type calls struct {
	at string
	fn func()
}

func (c *calls) Enabled(context.Context, slog.Level) bool { return true }
func (c *calls) WithAttrs([]slog.Attr) slog.Handler       { return c }
func (c *calls) WithGroup(string) slog.Handler            { return c }

func (c *calls) Handle(_ context.Context, r slog.Record) error {
	if r.Message == c.at {
		c.fn()
	}
	return nil
}
