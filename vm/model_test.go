package vm

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
)

// The model of what the user has been told: what must exist after any failure,
// failed undo, or interruption by the end of a daemon. What was not
// reported as done may be there or not; but nothing that was may be missing.
type model struct {
	vms map[string]*modelVM
}

// modelVM is a VM of whose creation the person was told.
type modelVM struct {
	content   string            // of its disk; empty: an operation on it has failed, it may be another one's
	snapshots map[string]string // content by name
	running   bool              // it was started, and not stopped since
}

// world is the model and the house that is held against it.
type world struct {
	t      *rapid.T
	tb     testing.TB
	home   string
	faults *faults
	house  house
	model  model
	writes int
	trace  []string
}

var (
	modelNames     = []string{"a", "b"}
	modelSnapshots = []string{"s1", "s2"}
	modelFaults    = []string{
		"create", "lost create", "start", "lost start", "destroy", "lost destroy", "kill", "lost kill", "snapshot", "lost snapshot",
		"delete-snapshot", "lost delete-snapshot", "restore", "lost restore", "shutdown", "lost shutdown",
	}
)

// step does one thing that a person may do, or that may happen.
func (w *world) step() {
	name := rapid.SampledFrom(modelNames).Draw(w.t, "name")
	snapshot := rapid.SampledFrom(modelSnapshots).Draw(w.t, "snapshot")
	actions := map[string]func(){
		"create":          func() { w.create(name) },
		"destroy":         func() { w.destroy(name) },
		"start":           func() { w.start(name) },
		"stop":            func() { w.stop(name, w.house.stopNow) },
		"kill":            func() { w.stop(name, w.house.killNow) },
		"snapshot":        func() { w.snapshot(name, snapshot) },
		"delete-snapshot": func() { w.deleteSnapshot(name, snapshot) },
		"restore":         func() { w.restore(name, snapshot) },
		"resolve":         func() { w.resolve() },
		"fault":           func() { w.fault(true) },
		"mend":            func() { w.fault(false) },
		"write":           func() { w.write(name) },
		"restart":         func() { w.restart() },
		"event":           func() { w.event(name) },
	}
	action := rapid.SampledFrom(slices.Sorted(maps.Keys(actions))).Draw(w.t, "action")
	w.trace = append(w.trace, fmt.Sprintf("%s %s %s", action, name, snapshot))
	actions[action]()
	w.check()
}

func (h house) stopNow(name string) (api.Operation, error) { return h.Stop(background, name, 0, "t") }

func (h house) killNow(name string) (api.Operation, error) { return h.Kill(background, name, "t") }

// do ends an operation; refused ones change nothing.
func (w *world) do(op api.Operation, err error) (api.Operation, bool) {
	if err != nil {
		w.trace = append(w.trace, "  refused: "+err.Error())
		return op, false
	}
	op = w.house.do(w.tb, op, nil)
	w.trace = append(w.trace, fmt.Sprintf("  %s: %s", op.State, op.Message))
	return op, true
}

func (w *world) create(name string) {
	op, begun := w.do(w.house.Create(background, api.CreateParams{Name: name, NoStart: true}))
	if begun && op.State == api.OpSucceeded {
		w.model.vms[name] = &modelVM{snapshots: map[string]string{}}
		w.write(name)
	}
}

// write is what the guest does.
func (w *world) write(name string) {
	vm := w.model.vms[name]
	if vm == nil {
		return
	}
	w.writes++
	vm.content = fmt.Sprint("content ", w.writes)
	if err := w.house.fake.Write(name, vm.content); err != nil {
		w.fail("%s cannot write: %v", name, err)
	}
}

func (w *world) destroy(name string) {
	if _, begun := w.do(w.house.Destroy(background, name, name, "t")); begun {
		delete(w.model.vms, name) // wanted, and asked for again if it failed
	}
}

func (w *world) start(name string) {
	op, begun := w.do(w.house.Start(background, name, "t"))
	if vm := w.model.vms[name]; vm != nil && begun {
		vm.running = op.State == api.OpSucceeded
	}
}

func (w *world) stop(name string, verb func(string) (api.Operation, error)) {
	_, begun := w.do(verb(name))
	if vm := w.model.vms[name]; vm != nil && begun {
		vm.running = false
	}
}

func (w *world) snapshot(name, snapshot string) {
	op, begun := w.do(w.house.CreateSnapshot(background, name, snapshot, "", "t"))
	if vm := w.model.vms[name]; vm != nil && begun && op.State == api.OpSucceeded {
		vm.snapshots[snapshot] = vm.content
	}
}

func (w *world) deleteSnapshot(name, snapshot string) {
	_, begun := w.do(w.house.DeleteSnapshot(background, name, snapshot, "t"))
	if vm := w.model.vms[name]; vm != nil && begun {
		delete(vm.snapshots, snapshot)
	}
}

func (w *world) restore(name, snapshot string) {
	op, begun := w.do(w.house.RestoreSnapshot(background, name, snapshot, name, "t"))
	vm := w.model.vms[name]
	switch {
	case vm == nil || !begun:
	case op.State == api.OpSucceeded:
		vm.snapshots[op.Safety] = vm.content
		vm.content = vm.snapshots[snapshot]
	case op.State == api.OpUnresolved:
		// The disk is as before, or restored: then its content is in the safety snapshot.
		vm.content, vm.running = "", false
	default:
		vm.running = false
	}
}

// resolve makes a choice of one of the operations that wait for one.
func (w *world) resolve() {
	var waiting []api.Operation
	for _, op := range w.house.Operations() {
		if op.State == api.OpUnresolved {
			waiting = append(waiting, op)
		}
	}
	if len(waiting) == 0 {
		return
	}
	op := rapid.SampledFrom(waiting).Draw(w.t, "operation")
	choice := rapid.SampledFrom(op.Choices).Draw(w.t, "choice")
	w.trace = append(w.trace, fmt.Sprintf("  %s of the %s of %s", choice.Action, op.Kind, op.Machine))
	done, err := w.house.Resolve(background, op.ID, choice.Action, op.Machine, "t")
	begun := err == nil
	if choice.Action != api.ActionForget {
		done, begun = w.do(done, err)
	}
	vm := w.model.vms[op.Machine]
	switch {
	case !begun || choice.Action == api.ActionForget:
	case makes[op.Kind]:
		if vm != nil {
			w.fail("the %s of %s could be resolved although there is a later VM", op.Kind, op.Machine)
		}
		if choice.Action == api.ActionResume && done.State == api.OpSucceeded {
			w.model.vms[op.Machine] = &modelVM{snapshots: map[string]string{}}
			w.write(op.Machine)
		}
	case vm != nil && op.Kind == api.KindRestoreSnapshot:
		vm.content, vm.running = "", false
	case vm != nil && op.Kind == api.KindStart:
		vm.running = choice.Action == api.ActionResume && done.State == api.OpSucceeded
	case vm != nil && op.Kind == api.KindSnapshot && choice.Action == api.ActionResume && done.State == api.OpSucceeded:
		vm.snapshots[op.Snapshot] = vm.content
	}
}

func (w *world) fault(on bool) {
	if !on {
		w.faults.set(false, modelFaults...)
		return
	}
	method := rapid.SampledFrom(modelFaults).Draw(w.t, "method")
	w.trace = append(w.trace, "  "+method)
	w.faults.set(true, method)
}

// event is what happens to a VM by itself.
func (w *world) event(name string) {
	vm := w.model.vms[name]
	st, err := w.house.fake.Status(background, backends.Named(name))
	if vm == nil || err != nil || st.State != backends.Running && st.State != backends.Suspended {
		return
	}
	f := w.house.fake
	events := map[string]func() error{
		"crash":  func() error { return f.Crash(name, "a test") },
		"pause":  func() error { return f.Suspend(background, backends.Named(name)) },
		"resume": func() error { return f.Resume(background, backends.Named(name)) },
	}
	what := rapid.SampledFrom(slices.Sorted(maps.Keys(events))).Draw(w.t, "what")
	w.trace = append(w.trace, "  "+what)
	if err := events[what](); err != nil {
		w.trace = append(w.trace, "  "+err.Error())
	}
	vm.running = false // whether it runs now, the backend knows
}

func (w *world) restart() { w.house = w.house.restart(w.tb, w.home, w.faults) }

// check holds what there is against the model.
func (w *world) check() {
	for name, vm := range w.model.vms {
		v, err := w.house.Get(name)
		if err != nil {
			w.fail("%s is lost: %v", name, err)
		}
		if v.State == backends.Absent || v.State == backends.Broken {
			w.fail("%s is %s: %s", name, v.State, v.Reason)
		}
		// The displayed state is that of the backend, after any history.
		w.house.taken(w.tb, w.house.fake)
		v, _ = w.house.Get(name)
		if st, err := w.house.fake.Status(background, backends.Named(name)); err != nil || v.State != st.State {
			w.fail("%s is shown as %s, and the backend says %s (%v)", name, v.State, st.State, err)
		}
		if vm.running && v.State != backends.Running {
			w.fail("%s was started, and is %s", name, v.State)
		}
		if content, err := w.house.fake.Content(name); err != nil || vm.content != "" && content != vm.content {
			w.fail("the disk of %s holds %q, not %q (%v)", name, content, vm.content, err)
		}
		list, err := w.house.Snapshots(background, name)
		if err != nil {
			w.fail("snapshots of %s: %v", name, err)
		}
		for snapshot := range vm.snapshots {
			if !slices.Contains(snapshotNames(list), snapshot) {
				w.fail("%s has lost its snapshot %s: %v", name, snapshot, snapshotNames(list))
			}
		}
	}
}

func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	for _, line := range w.trace {
		w.t.Log(line)
	}
	w.t.Fatalf(format, args...)
}

// A person does things, backends fail before or after they have acted, undos
// fail, daemons end: what was reported as done is there as long as it was not
// removed on purpose.
func checkModel(t *testing.T, checks, steps int) {
	if err := flag.Set("rapid.checks", strconv.Itoa(checks)); err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(r *rapid.T) {
		home, err := os.MkdirTemp("", "nv")
		if err != nil {
			r.Fatal(err)
		}
		defer os.RemoveAll(home)
		w := &world{t: r, tb: t, home: home, faults: &faults{}, model: model{vms: map[string]*modelVM{}}}
		if w.house, err = openHouseLosing(home, images{}, w.faults.fault, w.faults.lost, nil); err != nil {
			r.Fatal(err)
		}
		defer func() { _ = w.house.Close() }()
		for range steps {
			w.step()
		}
		w.faults.set(false, modelFaults...)
		w.restart()
		w.check()
		// Nothing waits any more once each machine is destroyed: no ghosts.
		for _, name := range modelNames {
			if _, err := w.house.Get(name); err == nil {
				w.do(w.house.Purge(background, name, name, "t"))
			}
		}
		w.restart()
		for _, op := range w.house.Operations() {
			if op.State == api.OpUnresolved {
				w.fail("the %s of %s, which is gone, still waits for a choice: %s", op.Kind, op.Machine, op.Message)
			}
		}
		if list := w.house.List(); len(list) > 0 {
			w.fail("left: %+v", list)
		}
	})
}

func TestWhatWasReportedAsDoneIsThere(t *testing.T) { checkModel(t, 12, 15) }
