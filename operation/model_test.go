package operation

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

// modelled is what must be true of one thing after any failure, failed undo
// or interruption: what was reported as done is there, what was reported as
// undone is not.
type modelled struct {
	there   bool // it was made, and its end has not been requested since
	absent  bool // it was destroyed, or never made
	marks   map[string]bool
	unknown bool // an operation on it was cut off or is unresolved
}

type player struct {
	t     *rapid.T
	world *world
	model map[string]*modelled
	left  map[string]bool // by key: an incomplete thing that a person has chosen to leave
	kept  map[string]bool // by key: a clone of it waits, or has waited, for a choice about what it borrowed
	trace []string
}

var (
	modelKeys   = []string{"a", "b"}
	modelSteps  = []string{"claim", "borrow", "back", "part", "record", "ready", "mark", "pieces", "all", "nothing"}
	modelFaults = []string{"do", "lost", "undo"}
)

func (p *player) note(format string, args ...any) {
	p.trace = append(p.trace, fmt.Sprintf(format, args...))
}

func (p *player) fatal(format string, args ...any) {
	p.t.Helper()
	for _, line := range p.trace {
		p.t.Log(line)
	}
	p.t.Fatalf(format, args...)
}

// play does one thing.
func (p *player) play() {
	key := rapid.SampledFrom(modelKeys).Draw(p.t, "key")
	switch rapid.SampledFrom([]string{"create", "create", "clone", "clone", "mark", "mark", "destroy", "start", "kill", "fault", "mend", "die", "restart", "resolve"}).Draw(p.t, "play") {
	case "create":
		p.operate(api.KindCreate, key, "")
	case "clone":
		p.operate(api.KindClone, key, "")
	case "mark":
		p.operate(api.KindSnapshot, key, rapid.SampledFrom([]string{"x", "y"}).Draw(p.t, "mark"))
	case "destroy":
		p.operate(api.KindDestroy, key, "")
	case "start":
		p.operate(api.KindStart, key, "")
	case "kill":
		p.operate(api.KindKill, key, "")
	case "fault":
		fault := rapid.SampledFrom(modelFaults).Draw(p.t, "fault") + " " + rapid.SampledFrom(modelSteps).Draw(p.t, "step")
		p.note("fault: %s", fault)
		p.world.fail[fault] = true
	case "mend":
		p.note("mend")
		clear(p.world.fail)
	case "die":
		n := rapid.IntRange(1, 10).Draw(p.t, "entries")
		p.note("die in %d entries", n)
		p.world.mu.Lock()
		p.world.dieIn = n
		p.world.mu.Unlock()
	case "restart":
		p.restart()
	case "resolve":
		p.resolve()
	}
}

// otherOf is the other one of the two keys.
func otherOf(key string) string {
	if key == modelKeys[0] {
		return modelKeys[1]
	}
	return modelKeys[0]
}

// operate begins an operation, and perhaps cancels it or has another one take one of its
// keys; then all end.
func (p *player) operate(kind api.Kind, key, mark string) {
	m, before := p.model[key], p.world.incomplete(key)
	keys := []string{key}
	var op api.Operation
	var err error
	if kind == api.KindClone {
		keys = append(keys, otherOf(key))
		op, err = p.world.clone(otherOf(key), key)
	} else {
		op, err = p.world.begin(kind, key, mark)
	}
	p.note("%s of %s %s: %v", kind, key, mark, err)
	if err != nil {
		return
	}
	disturbed := rapid.SampledFrom([]string{"", "", "cancel", "kill", "destroy"}).Draw(p.t, "disturb")
	of := rapid.SampledFrom(keys).Draw(p.t, "of")
	var other api.Operation
	switch disturbed {
	case "cancel":
		err = p.world.engine.Cancel(op.ID)
	case "kill":
		other, err = p.world.begin(api.KindKill, of, "")
	case "destroy":
		other, err = p.world.begin(api.KindDestroy, of, "")
	}
	p.note("  %s of %s: %v", disturbed, of, err)
	if problem.HasCode(err, problem.VMBusy) && kind != api.KindKill && kind != api.KindDestroy {
		p.fatal("%s of %s waits for the %s of %s", disturbed, of, kind, key)
	}
	ended, over := p.world.end(op)
	p.note("  it is %s: %s", ended.State, ended.Message)
	p.learn(kind, m, mark, ended, over)
	if before && m.absent && (kind == api.KindCreate || kind == api.KindClone) {
		m.absent, m.unknown = false, true // cancelled before its first step, it has removed nothing
	}
	if other.ID != "" {
		ended, over = p.world.end(other)
		p.note("  the %s is %s: %s", other.Kind, ended.State, ended.Message)
		p.learn(other.Kind, p.model[of], "", ended, over)
	}
	if !over {
		p.restart()
	}
}

// learn takes over what the end of an operation says.
func (p *player) learn(kind api.Kind, m *modelled, mark string, op api.Operation, over bool) {
	succeeded := over && op.State == api.OpSucceeded
	if kind == api.KindClone && op.State == api.OpUnresolved {
		p.kept[op.Machine] = true
	}
	undone := over && (op.State == api.OpFailed || op.State == api.OpCancelled)
	switch kind {
	case api.KindCreate, api.KindClone:
		switch {
		case succeeded:
			*m = modelled{there: true, marks: map[string]bool{}}
		case undone && op.Step != "ready": // it had not reached its commit point, or was cancelled
			*m = modelled{absent: true, marks: map[string]bool{}}
		default:
			*m = modelled{unknown: true, marks: map[string]bool{}}
		}
	case api.KindSnapshot:
		switch {
		case succeeded:
			m.marks[mark] = true
		case undone:
			delete(m.marks, mark)
			if _, err := os.Stat(p.world.thing(op.Machine, "mark-"+mark)); err == nil && !m.unknown && !m.absent {
				p.fatal("a snapshot was undone and is there")
			}
		}
	case api.KindDestroy:
		switch {
		case succeeded:
			*m = modelled{absent: true, marks: map[string]bool{}}
		default: // it was asked for: it may be gone
			*m = modelled{unknown: true, marks: map[string]bool{}}
		}
	}
}

// restart ends the daemon in order, or finds it dead, and starts the next one.
func (p *player) restart() {
	p.note("restart")
	p.world.close()
	p.world.open()
	for _, op := range p.world.engine.List() {
		if op.State == api.OpUnresolved && op.Kind == api.KindClone {
			p.kept[op.Machine] = true
		}
		if op.State == api.OpRunning {
			op, _ = p.world.end(op)
			p.kept[op.Machine] = p.kept[op.Machine] || op.Kind == api.KindClone && op.State == api.OpUnresolved
			p.note("  %s of %s, taken up: %s: %s", op.Kind, op.Machine, op.State, op.Message)
		}
	}
}

// resolve makes a choice of an operation that waits for one.
func (p *player) resolve() {
	for _, op := range p.world.engine.List() {
		if op.State != api.OpUnresolved {
			continue
		}
		choice := rapid.SampledFrom(op.Choices).Draw(p.t, "choice")
		done, err := p.world.engine.Resolve(background, op.ID, choice.Action, op.Machine, "test")
		p.note("%s of the %s of %s: %v", choice.Action, op.Kind, op.Machine, err)
		if err != nil {
			return
		}
		over := true
		if choice.Action != api.ActionForget {
			done, over = p.world.end(done)
			p.note("  it is %s: %s", done.State, done.Message)
		}
		m := p.model[op.Machine]
		if choice.Action == api.ActionForget && p.world.incomplete(op.Machine) {
			p.left[op.Machine] = true
		}
		if op.Kind != api.KindSnapshot {
			*m = modelled{unknown: true, marks: map[string]bool{}}
		}
		if !over {
			p.restart()
		}
		return
	}
}

// check holds what there is against the model.
func (p *player) check() {
	w := p.world
	waiting := map[string]bool{} // keys of unresolved operations
	listed := map[string]bool{}
	for _, op := range w.engine.List() {
		switch op.State {
		case api.OpRunning:
			p.fatal("%s of %s still runs", op.Kind, op.Machine)
		case api.OpUnresolved:
			waiting[op.Machine], listed[op.ID] = true, true
			if len(op.Choices) == 0 || op.Problem == nil {
				p.fatal("%s of %s waits for nothing: %+v", op.Kind, op.Machine, op)
			}
			p.checkUnresolved(op)
		}
	}
	for id := range w.journals() {
		if !listed[id] {
			p.fatal("journal %s is of no operation that is listed", id)
		}
	}
	for _, strange := range w.strange {
		p.fatal("%s", strange)
	}
	if w.engine.Busy() {
		p.fatal("a key is held by nothing that runs")
	}
	for key, m := range p.model {
		_, err := os.Stat(w.thing(key))
		switch complete := w.instance(key) != ""; {
		case m.there && !complete:
			p.fatal("%s was made and is not complete", key)
		case m.absent && err == nil:
			p.fatal("%s was destroyed, or its create undone, and is there", key)
		case !w.incomplete(key):
			delete(p.left, key)
		case !waiting[key] && !p.left[key]:
			p.fatal("%s is not complete, and no operation waits for a choice about it", key)
		}
		if _, err := os.Stat(w.thing(otherOf(key), "lent-"+key)); err == nil && !p.kept[key] {
			p.fatal("%s has not given back what it borrowed, and no operation waits for a choice about it", key)
		}
		for mark := range m.marks {
			if _, err := os.Stat(w.thing(key, "mark-"+mark)); err != nil && m.there {
				p.fatal("the snapshot %s of %s is lost", mark, key)
			}
		}
	}
}

// checkUnresolved: there is something to choose about, and what an undo that failed
// needs to go on is still there.
func (p *player) checkUnresolved(op api.Operation) {
	w := p.world
	r, err := readJournal(filepath.Join(w.home, "journal", op.ID+journalSuffix), nil)
	if err != nil {
		p.fatal("the journal of the %s of %s: %v", op.Kind, op.Machine, err)
	}
	plan, err := w.engine.verb(op.Kind).Plan(op, r.Header.Args)
	if err != nil {
		p.fatal("%v", err)
	}
	if w.Standing(background, r, plan, true) == Gone {
		p.fatal("nothing is left of the %s of %s, which waits for a choice", op.Kind, op.Machine)
	}
	for i, st := range plan.Steps {
		for _, later := range plan.Steps[i+1:] {
			if r.undone[st.Name] && r.begun[later.Name] && !r.undone[later.Name] && later.HoldsBack {
				p.fatal("%s was undone before %s", st.Name, later.Name)
			}
		}
	}
}

// cleanUp resolves what waits, destroys everything, and finds nothing left.
func (p *player) cleanUp() {
	w := p.world
	clear(w.fail)
	p.restart()
	for _, key := range modelKeys {
		op, err := w.begin(api.KindDestroy, key, "")
		if err == nil {
			op, _ = w.end(op)
		}
		if err != nil || op.State != api.OpSucceeded {
			p.fatal("the last destroy of %s: %s, %v", key, op.State, err)
		}
	}
	for _, op := range w.engine.List() {
		if op.State == api.OpUnresolved {
			p.fatal("%s of %s waits for a choice although all is gone", op.Kind, op.Machine)
		}
	}
	if left := w.journals(); len(left) > 0 {
		p.fatal("journals left: %v", left)
	}
	things, err := os.ReadDir(filepath.Join(w.home, "things"))
	if err != nil || len(things) > 0 {
		p.fatal("things left: %v, %v", things, err)
	}
}

// checkModel plays random games.
func checkModel(t *testing.T, checks, plays int) {
	if err := errors.Join(flag.Set("rapid.checks", strconv.Itoa(checks)), flag.Set("rapid.shrinktime", "5s"), flag.Set("rapid.nofailfile", "true")); err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(r *rapid.T) {
		home, err := os.MkdirTemp("/dev/shm", "op") // where an fsync costs nothing, if there is such a place
		if err != nil {
			home, err = os.MkdirTemp("", "op")
		}
		if err != nil {
			r.Fatal(err)
		}
		defer os.RemoveAll(home)
		p := &player{t: r, world: newWorld(t, home), model: map[string]*modelled{}, left: map[string]bool{}, kept: map[string]bool{}}
		for _, key := range modelKeys {
			p.model[key] = &modelled{absent: true, marks: map[string]bool{}}
		}
		p.world.open()
		defer func() { p.world.close() }()
		for range plays {
			p.play()
			if p.world.isDead() {
				p.restart()
			}
			p.check()
		}
		p.cleanUp()
	})
}

func TestWhatWasReportedIsTrue(t *testing.T) { checkModel(t, 60, 15) }

// After kill -9 at any entry of a create, or its failure at any step, no piece is
// left that is recorded in a note only, and the thing is whole or not there.
func TestNotesAreHandedBackAfterEveryCrash(t *testing.T) {
	for _, fault := range []string{"", "do record", "lost part", "lost record"} {
		for at := 1; ; at++ {
			w := newWorld(t, t.TempDir())
			w.open()
			w.fail[fault] = true
			w.mu.Lock()
			w.dieIn = at
			w.mu.Unlock()
			op, err := w.begin(api.KindCreate, "a", "")
			if err != nil {
				t.Fatal(err)
			}
			_, over := w.end(op)
			w.close()
			clear(w.fail)
			w.open()
			for _, op := range w.engine.List() {
				w.end(op)
			}
			pieces, err := os.ReadDir(filepath.Join(w.home, "pieces"))
			_, gone := os.Stat(w.thing("a"))
			whole := w.instance("a") != ""
			if err != nil || len(w.journals()) > 0 || whole != (gone == nil) || whole != (len(pieces) == 1) {
				t.Errorf("%q, killed at entry %d: whole %v, %v, pieces %v, journals %v", fault, at, whole, gone, pieces, w.journals())
			}
			w.close()
			if over {
				if at < 5 {
					t.Errorf("only %d entries", at)
				}
				break
			}
		}
	}
}
