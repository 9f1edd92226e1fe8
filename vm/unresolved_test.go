package vm

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/operation"
)

// faults lets methods of a backend fail while they are switched on: before they
// do anything, or, as "lost NAME", after they have done it.
type faults struct {
	mu sync.Mutex
	on map[string]bool

	next string // the method that fails once
}

// once makes the next call of a method fail.
func (f *faults) once(method string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next = method
}

func (f *faults) set(on bool, methods ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.on == nil {
		f.on = map[string]bool{}
	}
	for _, m := range methods {
		f.on[m] = on
	}
}

func (f *faults) fault(method, _ string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	single := method == f.next
	if single {
		f.next = ""
	}
	if single || f.on[method] {
		return errors.New("the backend is away")
	}
	return nil
}

func (f *faults) lost(method, name string) error { return f.fault("lost "+method, name) }

// restart ends the daemon of a house and starts the next one.
func (h house) restart(t testing.TB, home string, f *faults) house {
	t.Helper()
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	next, err := openHouseLosing(home, images{}, f.fault, f.lost, nil)
	if err != nil {
		t.Fatal(err)
	}
	h.idleAll(t, next)
	return next
}

// idleAll waits until nothing runs any more.
func (house) idleAll(t testing.TB, h house) {
	t.Helper()
	for _, op := range h.Operations() {
		h.do(t, op, nil)
	}
}

// shortDir is a temporary directory whose path leaves room for ssh's sockets,
// however long the name of the test is.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "nv")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// openFaulty opens a house that the test restarts.
func openFaulty(t testing.TB, home string, f *faults) *house {
	t.Helper()
	h, err := openHouseLosing(home, images{}, f.fault, f.lost, nil)
	if err != nil {
		t.Fatal(err)
	}
	current := &h
	t.Cleanup(func() {
		if err := current.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return current
}

func wantUnresolved(t testing.TB, h house, op api.Operation, err error) api.Operation {
	t.Helper()
	if op = h.do(t, op, err); op.State != api.OpUnresolved || op.Problem == nil || !strings.Contains(op.Problem.Hint, op.ID) {
		t.Fatalf("%s of %s is %s: %+v, want unresolved", op.Kind, op.Machine, op.State, op.Problem)
	}
	return op
}

func wantNoJournal(t testing.TB, h house) {
	t.Helper()
	if left, bad, err := operation.ReadJournals(h.layout.Journal(), nil); len(left)+len(bad) > 0 || err != nil {
		t.Errorf("journals left: %+v %v %v", left, bad, err)
	}
	for _, op := range h.Operations() {
		if op.State == api.OpUnresolved {
			t.Errorf("%s of %s is still unresolved", op.Kind, op.Machine)
		}
	}
}

// A create that could not be taken back, then a destroy and a create of that name:
// the disk of the second VM must not be removed.
func TestALateUndoOfACreateSparesTheVMThatHasItsName(t *testing.T) {
	home, f, h, _ := afterFailedCreate(t, "j1")
	f.set(false, "start", "destroy")
	op, err := h.Destroy(background, "j1", "j1", "t")
	h.succeed(t, op, err)
	wantNoJournal(t, *h)
	h.create(t, "j1")
	if err := h.fake.Write("j1", "precious"); err != nil {
		t.Fatal(err)
	}
	*h = h.restart(t, home, f)
	if content, _ := h.fake.Content("j1"); content != "precious" {
		t.Errorf("the disk holds %q", content)
	}
	if v, err := h.Get("j1"); err != nil || v.State != backends.Running || len(v.Unresolved) > 0 {
		t.Errorf("it is %+v, %v", v, err)
	}
}

// afterFailedCreate is a service whose create failed, and could not be taken back.
func afterFailedCreate(t *testing.T, name string) (home string, f *faults, h *house, op api.Operation) {
	t.Helper()
	home, f = shortDir(t), &faults{}
	h = openFaulty(t, home, f)
	f.set(true, "start", "destroy")
	op, err := h.Create(background, api.CreateParams{Name: name})
	return home, f, h, wantUnresolved(t, *h, op, err)
}

// The same when the old journal was not settled: it is bound to the VM that it made.
func TestAJournalOfAnotherInstanceTouchesNothing(t *testing.T) {
	for version, rewrite := range map[string]func(string) string{
		"today's":   func(s string) string { return s },
		"version 1": func(s string) string { return asVersion1(s) },
	} {
		t.Run(version, func(t *testing.T) {
			home, f, h, op := afterFailedCreate(t, "j1")
			path := filepath.Join(h.layout.Journal(), op.ID+".jsonl")
			journal, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			f.set(false, "start", "destroy")
			op, err = h.Destroy(background, "j1", "j1", "t")
			h.succeed(t, op, err)
			if err := os.WriteFile(path, []byte(rewrite(string(journal))), 0o600); err != nil {
				t.Fatal(err)
			}
			h.create(t, "j1")
			if err := h.fake.Write("j1", "precious"); err != nil {
				t.Fatal(err)
			}
			*h = h.restart(t, home, f)
			if content, _ := h.fake.Content("j1"); content != "precious" {
				t.Errorf("the disk holds %q", content)
			}
			v, err := h.Get("j1")
			if err != nil || v.State != backends.Running {
				t.Errorf("it is %+v, %v", v, err)
			}
			if asks := len(v.Unresolved) == 1; asks != strings.HasPrefix(version, "version 1") {
				t.Errorf("waiting for a choice: %v", v.Unresolved)
			}
			for _, id := range v.Unresolved { // unknown: it asks, and twice before it removes
				if _, err := h.Resolve(background, id, api.ActionUndo, "", "t"); !problem.HasCode(err, problem.ConfirmRequired) {
					t.Errorf("undo without a confirmation: %v", err)
				}
				if _, err := h.Resolve(background, id, api.ActionForget, "", "t"); err != nil {
					t.Error(err)
				}
			}
			wantNoJournal(t, *h)
		})
	}
}

// The same within one daemon, where the journal could not be removed when it was
// settled: the choice is still offered, and does nothing to the next VM.
func TestAnUndoOfAnotherInstanceIsRefused(t *testing.T) {
	_, f, h, op := afterFailedCreate(t, "j1")
	path := filepath.Join(h.layout.Journal(), op.ID+".jsonl")
	journal, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// What cannot be removed: a directory that is not empty.
	if err := errors.Join(os.Remove(path), os.MkdirAll(filepath.Join(path, "x"), 0o700)); err != nil {
		t.Fatal(err)
	}
	f.set(false, "start", "destroy")
	destroy, err := h.Destroy(background, "j1", "j1", "t")
	h.succeed(t, destroy, err)
	h.create(t, "j1")
	if err := h.fake.Write("j1", "precious"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.RemoveAll(path), os.WriteFile(path, journal, 0o600)); err != nil {
		t.Fatal(err)
	}
	undo, err := h.Resolve(background, op.ID, api.ActionUndo, "j1", "t")
	if undo = h.do(t, undo, err); undo.Problem == nil || undo.Problem.Code != problem.OperationResolved {
		t.Errorf("the undo is %s: %v", undo.State, undo.Problem)
	}
	if content, _ := h.fake.Content("j1"); content != "precious" {
		t.Errorf("the disk holds %q", content)
	}
	if v, err := h.Get("j1"); err != nil || v.State != backends.Running {
		t.Errorf("it is %+v, %v", v, err)
	}
}

// asVersion1 is a journal as an older nixvm wrote it.
func asVersion1(s string) string {
	head, rest, _ := strings.Cut(s, "\n")
	head = strings.Replace(head, `"version":2`, `"version":1`, 1)
	if i := strings.Index(head, `"instance":"`); i >= 0 {
		end := i + strings.Index(head[i:], `",`) + 2
		head = head[:i] + head[end:]
	}
	var lines []string
	for line := range strings.Lines(rest) {
		if !strings.Contains(line, "unresolved") {
			lines = append(lines, line)
		}
	}
	return head + "\n" + strings.Join(lines, "")
}

// A snapshot that could not be taken back, then one of that name that is good.
func TestALateUndoOfASnapshotSparesTheGoodOne(t *testing.T) {
	for _, fault := range []string{"snapshot", "lost snapshot"} {
		t.Run(strings.Fields(fault)[0], func(t *testing.T) {
			home, f := shortDir(t), &faults{}
			h := openFaulty(t, home, f)
			h.create(t, "demo")
			f.set(true, fault, "delete-snapshot")
			op, err := h.CreateSnapshot(background, "demo", "s", "", "t")
			op = h.do(t, op, err)
			f.set(false, fault, "delete-snapshot")
			if fault == "lost snapshot" { // it exists, and was not reported
				if op.State != api.OpUnresolved {
					t.Fatalf("it is %s", op.State)
				}
				_, err = h.CreateSnapshot(background, "demo", "s", "", "t")
				wantProblem(t, err, problem.SnapshotExists)
				op, err = h.DeleteSnapshot(background, "demo", "s", "t")
				h.succeed(t, op, err)
			}
			wantNoJournal(t, *h)
			op, err = h.CreateSnapshot(background, "demo", "s", "", "t")
			h.succeed(t, op, err)
			*h = h.restart(t, home, f)
			list, err := h.Snapshots(background, "demo")
			if err != nil || !slices.Equal(snapshotNames(list), []string{"s"}) {
				t.Errorf("snapshots: %v, %v", list, err)
			}
		})
	}
}

// afterLostStart is a service whose VM runs although its start failed, and could not
// be taken back.
func afterLostStart(t *testing.T, name string) (home string, f *faults, h *house) {
	t.Helper()
	home, f = shortDir(t), &faults{}
	h = openFaulty(t, home, f)
	h.create(t, name)
	op, err := h.Stop(background, name, 0, "t")
	h.succeed(t, op, err)
	f.set(true, "lost start", "kill")
	op, err = h.Start(background, name, "t")
	wantUnresolved(t, *h, op, err)
	f.set(false, "lost start", "kill")
	return home, f, h
}

// A start that could not be taken back, then another VM of that name that runs.
func TestALateUndoOfAStartSparesTheVMThatHasItsName(t *testing.T) {
	home, f, h := afterLostStart(t, "gone")
	op, err := h.Destroy(background, "gone", "gone", "t")
	h.succeed(t, op, err)
	wantNoJournal(t, *h)
	h.create(t, "gone")
	*h = h.restart(t, home, f)
	if v, err := h.Get("gone"); err != nil || v.State != backends.Running {
		t.Errorf("it is %+v, %v", v, err)
	}
}

// A VM that runs although its start failed is the user's as soon as he has asked
// for it again.
func TestAStartThatSucceedsSettlesTheOneBefore(t *testing.T) {
	home, f, h := afterLostStart(t, "demo")
	op, err := h.Start(background, "demo", "t")
	h.succeed(t, op, err)
	wantNoJournal(t, *h)
	*h = h.restart(t, home, f)
	if v, _ := h.Get("demo"); v.State != backends.Running {
		t.Errorf("it is %+v", v)
	}
}

// A restore whose undo fails keeps the safety snapshot: it is the only copy of what
// was on the disk.
func TestARestoreThatCannotBeTakenBackKeepsTheSafetySnapshot(t *testing.T) {
	home, f := shortDir(t), &faults{}
	h := openFaulty(t, home, f)
	h.create(t, "demo")
	op, err := h.CreateSnapshot(background, "demo", "s1", "", "t")
	h.succeed(t, op, err)
	if err := h.fake.Write("demo", "today"); err != nil {
		t.Fatal(err)
	}
	f.set(true, "lost restore")
	op, err = h.RestoreSnapshot(background, "demo", "s1", "demo", "t")
	id := wantUnresolved(t, *h, op, err).ID
	*h = h.restart(t, home, f)
	f.set(false, "lost restore")
	_, err = h.Resolve(background, id, api.ActionUndo, "", "t")
	wantProblem(t, err, problem.ConfirmRequired)
	op, err = h.Resolve(background, id, api.ActionUndo, "demo", "t")
	h.succeed(t, op, err)
	content, _ := h.fake.Content("demo")
	list, err := h.Snapshots(background, "demo")
	if content != "today" || err != nil || !slices.Equal(snapshotNames(list), []string{"s1"}) {
		t.Errorf("the disk holds %q, snapshots %v, %v", content, list, err)
	}
	if v, _ := h.Get("demo"); v.State != backends.Running {
		t.Errorf("it is %s", v.State)
	}
	wantNoJournal(t, *h)
}

// A second create of the name that fails as well leaves what the first one left to the
// choice about that; one that succeeds has decided it.
func TestACreateThatFailsDecidesNothing(t *testing.T) {
	for _, then := range []string{"undo", "create"} {
		t.Run(then, func(t *testing.T) {
			f := &faults{}
			h := openFaulty(t, shortDir(t), f)
			f.set(true, "create", "destroy")
			first, err := h.Create(background, api.CreateParams{Name: "demo"})
			first = wantUnresolved(t, *h, first, err)
			f.set(false, "destroy")
			second, err := h.Create(background, api.CreateParams{Name: "demo"})
			if second = h.do(t, second, err); second.State != api.OpFailed {
				t.Errorf("the second is %s", second.State)
			}
			if v, err := h.Get("demo"); err != nil || !slices.Equal(v.Unresolved, []string{first.ID}) {
				t.Fatalf("the machine says %v, %v", v.Unresolved, err)
			}
			f.set(false, "create")
			if then == "create" {
				h.create(t, "demo")
			} else {
				op, err := h.Resolve(background, first.ID, api.ActionUndo, "demo", "t")
				h.succeed(t, op, err)
				if h.machines.Exists("demo") {
					t.Error("the machine directory is left")
				}
			}
			wantNoJournal(t, *h)
		})
	}
}

// What could not be taken back waits for a choice, in this daemon and in the next.
func TestAnUndoThatFailsWaitsForAChoice(t *testing.T) {
	for action, want := range map[api.Action]struct {
		state api.OperationState
		gone  bool
	}{api.ActionUndo: {api.OpCancelled, true}, api.ActionResume: {api.OpSucceeded, false}, api.ActionForget: {api.OpFailed, false}} {
		t.Run(string(action), func(t *testing.T) {
			home, f := shortDir(t), &faults{}
			h := openFaulty(t, home, f)
			f.set(true, "start", "destroy")
			op, err := h.Create(background, api.CreateParams{Name: "demo"})
			id := wantUnresolved(t, *h, op, err).ID
			*h = h.restart(t, home, f)
			if op, err = h.Operation(id); err != nil || op.State != api.OpUnresolved || len(op.Choices) != 3 {
				t.Fatalf("after a restart: %+v, %v", op, err)
			}
			if v, err := h.Get("demo"); err != nil || !slices.Equal(v.Unresolved, []string{id}) {
				t.Errorf("the machine says %v, %v", v.Unresolved, err)
			}
			found := slices.ContainsFunc(h.Doctor(background), func(f api.Finding) bool { return strings.Contains(f.Fix, id) })
			if !found {
				t.Error("the doctor does not name it")
			}
			_, err = h.Resolve(background, id, api.ActionUndo, "other", "t")
			wantProblem(t, err, problem.ConfirmRequired)
			if action != api.ActionForget { // as long as it cannot be done, it stays
				op, err = h.Resolve(background, id, action, "demo", "t")
				if op = h.do(t, op, err); op.State != api.OpFailed {
					t.Errorf("%s is %s", action, op.State)
				}
				if op, _ = h.Operation(id); op.State != api.OpUnresolved || len(op.Choices) != 3 {
					t.Errorf("afterwards: %+v", op)
				}
			}
			f.set(false, "start", "destroy")
			if op, err = h.Resolve(background, id, action, "demo", "t"); action != api.ActionForget {
				op = h.succeed(t, op, err)
				if op.Kind != api.KindResolve || op.Resolves != id {
					t.Errorf("it was done by %+v", op)
				}
			} else if err != nil || op.ID != id {
				t.Errorf("forgotten: %+v, %v", op, err)
			}
			if op, err = h.Operation(id); err != nil || op.State != want.state || len(op.Choices) != 0 {
				t.Errorf("the operation ended as %+v, %v", op, err)
			}
			wantNoJournal(t, *h)
			if _, err := h.Get("demo"); (err != nil) != want.gone {
				t.Errorf("the machine: %v", err)
			}
			_, err = h.Resolve(background, id, action, "demo", "t")
			wantProblem(t, err, problem.OperationResolved)
		})
	}
}

// hung is a backend whose VMs do not answer, and that knows that it has done nothing.
type hung struct {
	backends.Backend
	backends.Snapshotter
}

func (hung) err() error {
	return problem.New(problem.BackendUnreachable, "the VM does not answer").WithHint("nixvmd kill ends it")
}

func (h hung) Unwrap() backends.Backend { return h.Backend }

func (h hung) CreateSnapshot(context.Context, backends.Ref, backends.SnapshotRequest) (backends.Snapshot, error) {
	return backends.Snapshot{}, problem.Untouched(h.err())
}

func (h hung) DeleteSnapshot(context.Context, backends.Ref, string) error { return h.err() }

// A snapshot of a VM that does not answer fails, and that is all: the list of snapshots
// cannot be asked for either, but nothing was done that would have to be undone.
func TestASnapshotOfAVMThatDoesNotAnswerLeavesNothingToChoose(t *testing.T) {
	h := open(t, shortDir(t), images{}, nil, nil)
	h.create(t, "demo")
	h.mu.Lock()
	h.backends["test"] = hung{Backend: h.fake, Snapshotter: h.fake}
	h.mu.Unlock()
	op, err := h.CreateSnapshot(background, "demo", "s", "", "t")
	if op = h.do(t, op, err); op.State != api.OpFailed || op.Problem.Code != problem.BackendUnreachable {
		t.Errorf("it is %s: %v", op.State, op.Problem)
	}
	wantNoJournal(t, h)
}

// A destroy that was interrupted is not gone on with while the record of the VM cannot
// be read: whose disks they are is not known.
func TestAnInterruptedDestroyIsNotGoneOnWithWhenTheRecordCannotBeRead(t *testing.T) {
	home := shortDir(t)
	h, err := openHouse(home, images{}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	h.create(t, "demo")
	instance := h.instanceOf("demo")
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	id := newInstance()
	text := header(id, func(h map[string]any) {
		h["kind"], h["instance"], h["args"] = "destroy", instance, map[string]any{"backends": []string{"test"}}
	})
	record, away := h.layout.Record("demo"), filepath.Join(home, "away")
	err = errors.Join(os.WriteFile(filepath.Join(h.layout.Journal(), id+".jsonl"), []byte(text), 0o600),
		os.Rename(record, away), os.Mkdir(record, 0o700)) // EISDIR
	if err != nil {
		t.Fatal(err)
	}
	next := open(t, home, images{}, nil, nil)
	next.idleAll(t, next)
	if st, err := next.fake.Status(background, backends.Named("demo")); err != nil || st.State != backends.Running {
		t.Errorf("the VM is %s, %v", st.State, err)
	}
	if op, err := next.Operation(id); err != nil || op.State != api.OpUnresolved {
		t.Errorf("the destroy is %s, %v", op.State, err)
	}
}
