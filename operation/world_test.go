package operation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"go.uber.org/goleak"

	"github.com/nixvm/nixvm/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var background = context.Background()

// world is an owner whose things are directories: things/KEY holds the file
// "instance" when the thing is complete, "part", which names a file in pieces/, and
// one file "mark-NAME" for each mark. Methods of steps fail, and the daemon dies,
// when the test says so.
type world struct {
	tb     testing.TB
	home   string
	order  sync.Mutex
	engine *Engine

	mu      sync.Mutex
	fail    map[string]bool // "do STEP", "lost STEP" (after it has acted), "undo STEP"
	dieIn   int             // entries until the daemon dies; 0 = it does not
	dead    chan struct{}   // closed when it has
	told    map[string]api.OperationState
	strange []string // what watchers must not see
	hang    map[string]chan struct{}
	hung    chan struct{} // receives when a step begins to hang
}

// argsOf is what every verb remembers.
type argsOf struct {
	Key      string `json:"key"`
	Instance string `json:"instance"`
	Mark     string `json:"mark,omitempty"`
	Source   string `json:"source,omitempty"`
}

var errFault = errors.New("a fault of the test")

func newWorld(tb testing.TB, home string) *world {
	w := &world{tb: tb, home: home, fail: map[string]bool{}, hang: map[string]chan struct{}{}, hung: make(chan struct{}, 16)}
	for _, dir := range []string{"journal", "things", "pieces"} {
		if err := os.MkdirAll(filepath.Join(home, dir), 0o700); err != nil {
			tb.Fatal(err)
		}
	}
	return w
}

// open starts a daemon.
func (w *world) open(change ...func(*Options)) {
	w.mu.Lock()
	w.dead, w.dieIn, w.told = make(chan struct{}), 0, map[string]api.OperationState{}
	w.mu.Unlock()
	o := Options{
		Dir: filepath.Join(w.home, "journal"), Owner: w, Order: &w.order, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Keys: func(op api.Operation) []string {
			switch {
			case op.Machine == "":
				return nil
			case op.Source != "":
				return []string{op.Machine, op.Source}
			}
			return []string{op.Machine}
		},
		Hook: w.entry,
		Verbs: map[api.Kind]Verb{
			api.KindCreate:   {Plan: w.planOf((*world).planCreate), Makes: true},
			api.KindClone:    {Plan: w.planOf((*world).planClone), Makes: true},
			api.KindSnapshot: {Plan: w.planOf((*world).planMark)},
			api.KindStart:    {Plan: w.planOf((*world).planNothing)},
			api.KindKill:     {Plan: w.planOf((*world).planNothing), Rank: 1, Spaceless: true},
			api.KindDestroy:  {Plan: w.planOf((*world).planDestroy), Rank: 2, Spaceless: true},
			api.KindMigrate:  {Plan: w.planOf((*world).planNothing), Continues: true},
		},
		Limits: Limits{Grace: time.Minute, Force: time.Minute, Close: time.Minute, Edit: time.Minute, Soon: time.Minute},
	}
	for _, c := range change {
		c(&o)
	}
	w.engine = New(o)
	if err := w.engine.Recover(); err != nil {
		w.tb.Fatal(err)
	}
}

// close ends the daemon.
func (w *world) close() {
	if err := w.engine.Close(); err != nil {
		w.tb.Error(err)
	}
}

// entry is called after each entry of a journal: the daemon may die there. A step
// that has noted something finds that out by itself.
func (w *world) entry(e Entry) {
	w.mu.Lock()
	if w.dieIn > 0 {
		if w.dieIn--; w.dieIn == 0 {
			close(w.dead)
		}
	}
	dead := w.isDead()
	w.mu.Unlock()
	if dead && e.Event != "note" {
		runtime.Goexit()
	}
}

func (w *world) isDead() bool {
	select {
	case <-w.dead:
		return true
	default:
		return false
	}
}

// act is what a step does, unless the test says that it fails or hangs.
func (w *world) act(ctx context.Context, verb, step string, do func() error) error {
	w.mu.Lock()
	before, after, dead := w.fail[verb+" "+step], w.fail["lost "+step], w.isDead()
	hang := w.hang[verb+" "+step]
	w.mu.Unlock()
	if hang != nil {
		w.hung <- struct{}{}
		<-hang // even if ctx ends
	}
	switch {
	case dead || before:
		return fmt.Errorf("%s: %w", step, errFault)
	case ctx.Err() != nil:
		return ctx.Err()
	}
	err := do()
	if err == nil && verb == "do" && after {
		err = fmt.Errorf("the answer of %s is lost: %w", step, errFault)
	}
	return err
}

func (w *world) step(name string, do, undo func(*Run) error) Step {
	st := Step{Name: name, Title: "doing " + name, Undoes: "removes " + name}
	st.Do = func(ctx context.Context, r *Run) error {
		return w.act(ctx, "do", name, func() error { return do(r) })
	}
	if undo != nil {
		st.Undo = func(ctx context.Context, r *Run) error {
			return w.act(ctx, "undo", name, func() error { return undo(r) })
		}
	}
	return st
}

func (w *world) planOf(build func(*world, argsOf) Plan) func(api.Operation, json.RawMessage) (Plan, error) {
	return func(_ api.Operation, raw json.RawMessage) (Plan, error) {
		var args argsOf
		err := json.Unmarshal(raw, &args)
		return build(w, args), err
	}
}

func (w *world) thing(key string, file ...string) string {
	return filepath.Join(append([]string{w.home, "things", key}, file...)...)
}

func (w *world) planCreate(a argsOf) Plan {
	claim := w.step("claim", func(*Run) error { return os.MkdirAll(w.thing(a.Key), 0o700) },
		func(*Run) error { return os.RemoveAll(w.thing(a.Key)) })
	claim.HoldsBack = true
	part := w.step("part", func(r *Run) error {
		if err := w.removePieces(r.Notes()); err != nil { // of an earlier attempt
			return err
		}
		piece := filepath.Join(w.home, "pieces", ulid.Make().String())
		if err := r.Note(piece); err != nil {
			return err
		}
		if w.isDead() {
			return errFault
		}
		if err := os.WriteFile(piece, []byte(a.Key), 0o600); err != nil {
			return err
		}
		return os.WriteFile(w.thing(a.Key, "part"), []byte(piece), 0o600)
	}, func(r *Run) error { return w.removePieces(r.Notes()) })
	part.HoldsBack = true
	record := w.step("record", func(*Run) error { return os.WriteFile(w.thing(a.Key, "instance"), []byte(a.Instance), 0o600) },
		func(*Run) error { return ignoreMissing(os.Remove(w.thing(a.Key, "instance"))) })
	record.HoldsBack = true
	record.Holds = func() bool { return w.instance(a.Key) == a.Instance }
	ready := w.step("ready", func(*Run) error { return nil }, nil)
	return Plan{Steps: []Step{claim, part, record, ready}, Commit: 3, CancelUndoes: true, Instance: a.Instance}
}

// planClone is planCreate with something that it borrows from its source, and gives back.
func (w *world) planClone(a argsOf) Plan {
	p := w.planCreate(a)
	lent := w.thing(a.Source, "lent-"+a.Key)
	giveBack := func(*Run) error { return ignoreMissing(os.Remove(lent)) }
	borrow := w.step("borrow", func(*Run) error { return os.WriteFile(lent, nil, 0o600) }, giveBack)
	back := w.step("back", func(r *Run) error {
		defer r.Release()
		return giveBack(r)
	}, nil)
	borrow.Others, back.Others, borrow.HoldsBack = true, true, true
	p.Steps = slices.Insert(p.Steps, 1, borrow)
	p.Steps = slices.Insert(p.Steps, 3, back)
	p.Commit += 2
	return p
}

// removePieces removes what notes name: that is recorded nowhere else.
func (w *world) removePieces(notes []json.RawMessage) error {
	for _, n := range notes {
		var piece string
		if err := json.Unmarshal(n, &piece); err != nil {
			return err
		}
		if err := ignoreMissing(os.Remove(piece)); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) planMark(a argsOf) Plan {
	path := w.thing(a.Key, "mark-"+a.Mark)
	return Plan{Commit: 1, CancelUndoes: true, Detail: a, Steps: []Step{w.step("mark",
		func(*Run) error { return os.WriteFile(path, nil, 0o600) },
		func(*Run) error { return ignoreMissing(os.Remove(path)) })}}
}

func (w *world) planDestroy(a argsOf) Plan {
	return Plan{Steps: []Step{
		w.step("pieces", func(*Run) error {
			piece, err := os.ReadFile(w.thing(a.Key, "part"))
			if err != nil {
				return ignoreMissing(err)
			}
			return ignoreMissing(os.Remove(string(piece)))
		}, nil),
		w.step("all", func(*Run) error { return os.RemoveAll(w.thing(a.Key)) }, nil),
	}}
}

func (w *world) planNothing(argsOf) Plan {
	return Plan{Steps: []Step{w.step("nothing", func(*Run) error { return nil }, nil)}}
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

func (w *world) instance(key string) string {
	content, _ := os.ReadFile(w.thing(key, "instance"))
	return string(content)
}

// incomplete reports whether there is a part of a thing.
func (w *world) incomplete(key string) bool {
	_, err := os.Stat(w.thing(key))
	return err == nil && w.instance(key) == ""
}

// begin begins an operation on a key.
func (w *world) begin(kind api.Kind, key, mark string) (api.Operation, error) {
	args := argsOf{Key: key, Mark: mark, Instance: ulid.Make().String()}
	v := api.Operation{Kind: kind, Machine: key, Snapshot: mark, Client: "test"}
	return w.beginWith(v, args)
}

// clone begins a clone.
func (w *world) clone(source, key string) (api.Operation, error) {
	args := argsOf{Key: key, Source: source, Instance: ulid.Make().String()}
	return w.beginWith(api.Operation{Kind: api.KindClone, Machine: key, Source: source, Client: "test"}, args)
}

func (w *world) beginWith(v api.Operation, args argsOf) (api.Operation, error) {
	kind, key, mark := v.Kind, args.Key, args.Mark
	makes := kind == api.KindCreate || kind == api.KindClone
	return Begin(background, w.engine, v, func(context.Context) (argsOf, error) {
		switch {
		case makes && w.instance(key) != "": // what is not complete is made anew
			return args, errors.New("it is there")
		case kind == api.KindClone && w.instance(args.Source) == "":
			return args, errors.New("the source is not there")
		case !makes && kind != api.KindDestroy && w.instance(key) == "":
			return args, errors.New("it is not there")
		}
		if _, err := os.Stat(w.thing(key, "mark-"+mark)); err == nil && kind == api.KindSnapshot {
			return args, errors.New("there is such a mark") // its undo would remove it
		}
		return args, nil
	})
}

// end waits until an operation has ended, or the daemon has died.
func (w *world) end(op api.Operation) (api.Operation, bool) {
	ctx, cancel := context.WithTimeout(background, time.Minute)
	defer cancel()
	w.mu.Lock()
	dead := w.dead
	w.mu.Unlock()
	go func() {
		select {
		case <-dead:
			cancel()
		case <-ctx.Done():
		}
	}()
	op, err := w.engine.Wait(ctx, op.ID)
	if err != nil && !w.isDead() {
		w.tb.Fatalf("%s of %s does not end", op.Kind, op.Machine)
	}
	return op, err == nil
}

// Instance implements Owner.
func (w *world) Instance(op api.Operation) string { return w.instance(op.Machine) }

// Interrupt implements Owner.
func (w *world) Interrupt(context.Context, api.Operation) error { return nil }

// Decides implements Owner.
func (w *world) Decides(done, _ *Task) bool {
	kind := done.Value().Kind
	return kind == api.KindDestroy || kind == api.KindCreate || kind == api.KindClone
}

// Ended implements Owner.
func (w *world) Ended(api.Operation) {}

// Standing implements Owner.
func (w *world) Standing(_ context.Context, r *Record, p Plan, late bool) Standing {
	h := r.Header
	now := w.instance(h.Machine)
	switch _, err := os.Stat(w.thing(h.Machine)); {
	case (h.Kind == api.KindCreate || h.Kind == api.KindClone) && now == "" && err == nil, h.Kind == api.KindDestroy && now == "":
		return Ours
	case now != h.Instance || now == "":
		return Gone
	}
	if a, ok := p.Detail.(argsOf); ok && late {
		if _, err := os.Stat(w.thing(a.Key, "mark-"+a.Mark)); err != nil {
			return Gone
		}
	}
	return Ours
}

// Tell implements Owner. An operation that is told for the first time is in a
// journal, and one that has ended is not running again.
func (w *world) Tell(c Change) {
	if c.Operation == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	v := *c.Operation
	before, known := w.told[v.ID]
	_, err := os.Stat(filepath.Join(w.home, "journal", v.ID+journalSuffix))
	switch {
	case !known && err != nil && v.State == api.OpRunning && v.Kind != api.KindResolve:
		w.strange = append(w.strange, fmt.Sprintf("%s of %s is told of before it is journalled", v.Kind, v.Machine))
	case known && before != api.OpRunning && v.State == api.OpRunning:
		w.strange = append(w.strange, fmt.Sprintf("%s of %s was %s and runs again", v.Kind, v.Machine, before))
	}
	w.told[v.ID] = v.State
}

// journals are the ids of those on the disk.
func (w *world) journals() map[string]bool {
	files, err := os.ReadDir(filepath.Join(w.home, "journal"))
	if err != nil {
		w.tb.Fatal(err)
	}
	ids := map[string]bool{}
	for _, f := range files {
		ids[strings.TrimSuffix(f.Name(), journalSuffix)] = true
	}
	return ids
}
