package vm

import (
	"context"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/fake"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
	"github.com/nixvm/nixvm/operation"
)

// stuck is a backend with a VM that hangs: what is asked of it does not return
// until ctx ends (patient), the VM is killed (deaf), or the test ends.
type stuck struct {
	*fake.Backend
	deaf     bool // it takes no notice of the end of ctx
	immortal bool // nor does kill free what hangs

	entered chan string
	once    sync.Once
	freed   chan struct{}
}

func newStuck(b *fake.Backend) *stuck {
	return &stuck{Backend: b, entered: make(chan string, 64), freed: make(chan struct{})}
}

func (b *stuck) free() { b.once.Do(func() { close(b.freed) }) }

func (b *stuck) hang(ctx context.Context, method string) error {
	b.entered <- method
	done := ctx.Done()
	if b.deaf {
		done = nil
	}
	select {
	case <-b.freed:
		return problem.New(problem.BackendUnreachable, "the VM is gone")
	case <-done:
		return ctx.Err()
	}
}

func (b *stuck) Snapshots(ctx context.Context, vm backends.Ref) ([]backends.Snapshot, error) {
	select {
	case <-b.freed:
		return b.Backend.Snapshots(ctx, vm)
	default:
		return nil, b.hang(ctx, "snapshots")
	}
}

func (b *stuck) Suspend(ctx context.Context, _ backends.Ref) error { return b.hang(ctx, "suspend") }

func (b *stuck) Shutdown(ctx context.Context, _ backends.Ref) error { return b.hang(ctx, "shutdown") }

func (b *stuck) Kill(ctx context.Context, vm backends.Ref) error {
	if !b.immortal {
		b.free()
	}
	return b.Backend.Kill(ctx, vm)
}

// shortLimits lets what does not end be given up soon.
func shortLimits(o *Options) {
	o.limits.Grace, o.limits.Soon, o.limits.Force, o.limits.Close = 50*time.Millisecond, 50*time.Millisecond, 50*time.Millisecond, 200*time.Millisecond
}

// withStuck is a house whose VM demo hangs from now on.
func withStuck(t *testing.T, change func(*stuck), limited ...func(*Options)) (house, *stuck) {
	t.Helper()
	h := open(t, shortDir(t), images{}, nil, nil, append([]func(*Options){shortLimits}, limited...)...)
	h.create(t, "demo")
	b := newStuck(h.fake)
	if change != nil {
		change(b)
	}
	t.Cleanup(b.free)
	h.mu.Lock()
	h.backends["test"] = b
	h.mu.Unlock()
	h.limits = limits{ask: time.Second, check: time.Minute}
	return h, b
}

func TestReadsOfAVMThatHangsAreAnswered(t *testing.T) {
	h, _ := withStuck(t, func(b *stuck) { b.deaf = true })
	if _, err := h.Snapshots(background, "demo"); !problem.HasCode(err, problem.BackendUnreachable) || problem.From(err).Hint == "" {
		t.Errorf("snapshots: %v", err)
	}
	if _, err := h.Get("demo"); err != nil || len(h.List()) != 1 {
		t.Errorf("get: %v", err)
	}
}

// What an operation must know before it begins can be cancelled, by its id and
// with the request, however deaf the backend is.
func TestAnOperationCanBeCancelledFromItsFirstMoment(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		h, b := withStuck(t, func(b *stuck) { b.deaf = deaf })
		h.limits.ask = time.Hour
		refused := make(chan error, 2)
		begin := func(ctx context.Context) {
			_, err := h.CreateSnapshot(ctx, "demo", "s", "", "t")
			refused <- err
		}
		go begin(background)
		<-b.entered
		held, busy := h.engine.Holder("demo")
		if !busy || held.Kind != api.KindSnapshot || held.State != api.OpRunning {
			t.Fatalf("%+v holds the machine, %v", held, busy)
		}
		if ops := h.Operations(); slices.ContainsFunc(ops, func(op api.Operation) bool { return op.ID == held.ID }) {
			t.Error("it is listed, and not journalled")
		}
		if v, err := h.Get("demo"); err != nil || v.Operation != nil {
			t.Errorf("the machine shows what is not journalled: %+v, %v", v.Operation, err)
		}
		if err := h.Cancel(held.ID); err != nil {
			t.Fatal(err)
		}
		if err := <-refused; !problem.HasCode(err, problem.Cancelled) {
			t.Errorf("cancelled by id, it ends with %v", err)
		}
		ctx, cancel := context.WithCancel(background)
		go begin(ctx)
		<-b.entered
		cancel()
		if err := <-refused; !problem.HasCode(problem.From(err), problem.Cancelled) {
			t.Errorf("cancelled with the request, it ends with %v", err)
		}
		if op, busy := h.engine.Holder("demo"); busy {
			t.Errorf("the machine is busy with %+v", op)
		}
		b.free()
	}
}

// kill and destroy win against every kind of hang.
func TestKillAndDestroyGetPastWhatHangs(t *testing.T) {
	hang := map[string]func(*stuck){
		"until it is cancelled": nil,
		"until it is killed":    func(b *stuck) { b.deaf = true },
		"for ever":              func(b *stuck) { b.deaf, b.immortal = true, true },
	}
	verbs := map[api.Kind]func(h house) (api.Operation, error){
		api.KindKill:    func(h house) (api.Operation, error) { return h.Kill(background, "demo", "t") },
		api.KindDestroy: func(h house) (api.Operation, error) { return h.Destroy(background, "demo", "demo", "t") },
	}
	for what, change := range hang {
		for kind, verb := range verbs {
			t.Run(string(kind)+" "+what, func(t *testing.T) {
				h, b := withStuck(t, change)
				held, err := h.Suspend(background, "demo", "t")
				if err != nil {
					t.Fatal(err)
				}
				<-b.entered
				if _, err := h.Stop(background, "demo", 0, "t"); !problem.HasCode(err, problem.VMBusy) {
					t.Errorf("stop: %v", err)
				}
				op, err := verb(h)
				h.succeed(t, op, err)
				if held = h.do(t, held, nil); held.State != api.OpCancelled {
					t.Errorf("what hung is %s: %v", held.State, held.Problem)
				}
				st, _ := h.fake.Status(background, backends.Named("demo"))
				if want := map[api.Kind]backends.State{api.KindKill: backends.Stopped, api.KindDestroy: backends.Absent}[kind]; st.State != want {
					t.Errorf("the VM is %s", st.State)
				}
				wantNoJournal(t, h)
			})
		}
	}
}

// A kill that is cancelled before what hangs has ended leaves the machine to that:
// any operation begun meanwhile would run beside it, and beside its undo.
func TestACancelledKillLeavesTheMachineToWhatHangs(t *testing.T) {
	h, b := withStuck(t, func(b *stuck) { b.deaf, b.immortal = true, true }, func(o *Options) { o.limits.Grace = time.Hour })
	held, err := h.Suspend(background, "demo", "t")
	if err != nil {
		t.Fatal(err)
	}
	<-b.entered
	kill, err := h.Kill(background, "demo", "t")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Cancel(kill.ID); err != nil {
		t.Fatal(err)
	}
	if kill = h.do(t, kill, nil); kill.State != api.OpCancelled {
		t.Errorf("the kill is %s: %v", kill.State, kill.Problem)
	}
	if _, err := h.Stop(background, "demo", 0, "t"); !problem.HasCode(err, problem.VMBusy) {
		t.Errorf("stop beside it: %v", err)
	}
	if op, busy := h.engine.Holder("demo"); !busy || op.ID != held.ID {
		t.Errorf("%+v runs on it, %v", op, busy)
	}
	b.free()
	h.do(t, held, nil)
	if op, busy := h.engine.Holder("demo"); busy {
		t.Errorf("%+v runs on it", op)
	}
}

// A create whose VM is killed while it waits for sshd keeps that VM.
func TestKillOfAVMThatIsBootingForTheFirstTime(t *testing.T) {
	waiting, goOn := make(chan struct{}), make(chan struct{})
	h := open(t, shortDir(t), images{}, nil, func(e operation.Entry) {
		if e.Event == "begin" && e.Step == readyStepName {
			close(waiting)
			<-goOn
		}
	})
	create, err := h.Create(background, api.CreateParams{Name: "demo"})
	if err != nil {
		t.Fatal(err)
	}
	<-waiting
	kill, err := h.Kill(background, "demo", "t")
	if err != nil {
		t.Fatal(err)
	}
	close(goOn)
	h.succeed(t, kill, nil)
	if create = h.do(t, create, nil); create.State != api.OpCancelled && create.State != api.OpSucceeded {
		t.Errorf("the create is %s: %v", create.State, create.Problem)
	}
	if v, err := h.Get("demo"); err != nil || v.State != backends.Stopped {
		t.Errorf("it is %+v, %v", v, err)
	}
	wantNoJournal(t, h)
}

// One that has not made it yet is undone, and destroy leaves nothing of it.
func TestKillAndDestroyOfAVMThatIsBeingMade(t *testing.T) {
	making := make(chan struct{})
	imgs := images{ensure: func(ctx context.Context, _ progress.Reporter) error {
		close(making)
		<-ctx.Done()
		return ctx.Err()
	}}
	h := open(t, shortDir(t), imgs, nil, nil)
	create, err := h.Create(background, api.CreateParams{Name: "demo"})
	if err != nil {
		t.Fatal(err)
	}
	<-making
	if _, err := h.Kill(background, "demo", "t"); !problem.HasCode(err, problem.VMNotFound) {
		t.Errorf("kill of a VM that is not there yet: %v", err)
	}
	if op, busy := h.engine.Holder("demo"); !busy || op.ID != create.ID {
		t.Errorf("after the refusal, %+v runs on it, %v", op, busy)
	}
	op, err := h.Destroy(background, "demo", "demo", "t")
	h.succeed(t, op, err)
	if create = h.do(t, create, nil); create.State != api.OpCancelled {
		t.Errorf("the create is %s: %v", create.State, create.Problem)
	}
	if list := h.List(); len(list) != 0 {
		t.Errorf("left: %+v", list)
	}
	wantNoJournal(t, h)
}

// deafCreate is a backend whose Create takes no notice of the end of its context.
type deafCreate struct {
	backends.Backend
	made, freed chan struct{}
}

func (b deafCreate) Unwrap() backends.Backend { return b.Backend }

func (b deafCreate) Create(ctx context.Context, spec backends.Spec, report progress.Reporter) error {
	err := b.Backend.Create(ctx, spec, report)
	close(b.made)
	<-b.freed
	return err
}

// A create that was given up for a destroy and goes on afterwards leaves no record:
// the name is free, or another VM's.
func TestACreateThatWasGivenUpLeavesNoRecord(t *testing.T) {
	h, err := openHouse(shortDir(t), images{}, nil, nil, shortLimits, func(o *Options) { o.limits.Close = time.Minute })
	if err != nil {
		t.Fatal(err)
	}
	b := deafCreate{Backend: h.fake, made: make(chan struct{}), freed: make(chan struct{})}
	h.mu.Lock()
	h.backends["test"] = b
	h.mu.Unlock()
	create, err := h.Create(background, api.CreateParams{Name: "demo"})
	if err != nil {
		t.Fatal(err)
	}
	<-b.made
	op, err := h.Destroy(background, "demo", "demo", "t")
	h.succeed(t, op, err)
	h.do(t, create, nil)
	close(b.freed)
	if err := h.Close(); err != nil { // it waits for what was given up
		t.Fatal(err)
	}
	if files, err := os.ReadDir(h.layout.Records()); err != nil || len(files) != 0 {
		t.Errorf("records: %v, %v", files, err)
	}
}
