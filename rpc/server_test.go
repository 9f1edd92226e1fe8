package rpc_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/paths"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/rpc"
	"github.com/nixvm/nixvm/rpc/client"
)

// limit is for waits that end when the code is right.
const limit = 2 * time.Minute

// serve runs a server on a real socket.
func serve(t testing.TB, c rpc.Core) paths.Layout {
	t.Helper()
	return serveWith(t, c, rpc.Options{})
}

func serveWith(t testing.TB, c rpc.Core, o rpc.Options) paths.Layout {
	t.Helper()
	layout := paths.Under(t.TempDir())
	layout.Runtime = shortDir(t)
	l, err := rpc.Listen(layout)
	if err != nil {
		t.Fatal(err)
	}
	o.Version, o.RuntimeDir = "test", layout.Runtime
	srv := rpc.NewServer(c, o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
		if err := l.Release(); err != nil {
			t.Error(err)
		}
	})
	return layout
}

// note is a notification that arrived.
type note struct {
	method string
	params json.RawMessage
}

// connect opens a session; its notifications go to the channel.
func connect(t testing.TB, layout paths.Layout, name string) (*client.Client, chan note) {
	t.Helper()
	notes := make(chan note, 10000)
	c, err := client.Dial(context.Background(), layout, client.Options{Name: name, OnNotification: func(method string, params json.RawMessage) {
		notes <- note{method, params}
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, notes
}

// await returns the first notification of that method.
func await[P any](t testing.TB, notes chan note, method string, fits func(P) bool) P {
	t.Helper()
	timeout := time.After(limit)
	for {
		select {
		case n := <-notes:
			if n.method != method {
				continue
			}
			var p P
			if err := json.Unmarshal(n.params, &p); err != nil {
				t.Fatalf("%s: %v in %s", method, err, n.params)
			}
			if fits(p) {
				return p
			}
		case <-timeout:
			t.Fatalf("no %s that fits", method)
		}
	}
}

func call[R any](t testing.TB, c *client.Client, method string, params any) R {
	t.Helper()
	var r R
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := c.Call(ctx, method, params, &r); err != nil {
		t.Fatalf("%s: %v", method, err)
	}
	return r
}

func wantCode(t testing.TB, err error, code problem.Code) *problem.Error {
	t.Helper()
	p := problem.From(err)
	if p == nil || p.Code != code {
		t.Fatalf("got %v, want %s", err, code)
	}
	return p
}

func TestReadsAnswerFromTheCore(t *testing.T) {
	c, _ := connect(t, serve(t, newCore("demo", "other")), "test")
	list := call[api.MachineListResult](t, c, api.MethodMachineList, nil)
	if len(list.Machines) != 2 || list.Machines[0].Name != "demo" || list.Machines[0].SSHHost != "demo" || list.Machines[0].DiskBytes != 20<<30 {
		t.Errorf("list: %+v", list)
	}
	if m := call[api.MachineResult](t, c, api.MethodMachineGet, api.MachineParams{Name: "demo"}); m.Machine.State != "running" {
		t.Errorf("get: %+v", m)
	}
	if s := call[api.SnapshotListResult](t, c, api.MethodSnapshotList, api.MachineParams{Name: "demo"}); len(s.Snapshots) != 1 {
		t.Errorf("snapshots: %+v", s)
	}
	caps := c.Server().Capabilities.Experimental.Nixvm
	if caps.ProtocolVersion != api.ProtocolVersion || len(caps.Methods) != len(rpc.Methods()) || !caps.Backends[0].Capabilities.LiveSnapshot {
		t.Errorf("capabilities: %+v", caps)
	}
}

func TestErrorsCarryCodeMessageAndHint(t *testing.T) {
	c, _ := connect(t, serve(t, newCore("demo")), "test")
	for _, tc := range []struct {
		method string
		params any
		code   problem.Code
		says   string
	}{
		{api.MethodMachineGet, map[string]any{"name": "nobody"}, problem.MachineNotFound, "nobody"},
		{api.MethodMachineGet, map[string]any{"name": "../x"}, problem.MachineNameInvalid, "name"},
		{api.MethodMachineGet, map[string]any{"name": 7}, problem.BadParams, "name: must be a string"},
		{api.MethodOperationResolve, map[string]any{"id": "op1", "action": 7}, problem.BadParams, "action: must be a string"},
		{api.MethodMachineGet, map[string]any{"nam": "demo"}, problem.BadParams, `"nam"`},
		{api.MethodMachineGet, []int{1}, problem.BadParams, "object"},
		{api.MethodMachineGet, nil, problem.BadParams, "name: is required"},
		{api.MethodVMCreate, map[string]any{"name": "x", "memoryMiB": -1}, problem.BadParams, "memoryMiB"},
		{api.MethodVMCreate, map[string]any{"name": "x", "profiles": []string{"a,b"}}, problem.BadParams, "profiles[0]"},
		{api.MethodVMCreate, map[string]any{"name": "demo"}, problem.MachineExists, "demo"},
		{api.MethodVMClone, map[string]any{"name": "demo"}, problem.BadParams, "newName: is required"},
		{api.MethodVMClone, map[string]any{"name": "demo", "newName": "../x"}, problem.MachineNameInvalid, "newName"},
		{api.MethodVMClone, map[string]any{"name": "demo", "newName": "x", "snapshot": "a\nb"}, problem.BadParams, "snapshot"},
		{api.MethodVMClone, map[string]any{"name": "demo", "newName": "x", "diskBytes": 0}, problem.BadParams, "diskBytes"},
		{api.MethodVMClone, map[string]any{"name": "nobody", "newName": "x"}, problem.MachineNotFound, "nobody"},
		{api.MethodVMDestroy, map[string]any{"name": "demo"}, problem.ConfirmRequired, "confirm"},
		{api.MethodVMDestroy, map[string]any{"name": "demo", "confirm": "other"}, problem.ConfirmRequired, "confirm"},
		{api.MethodSnapshotCreate, map[string]any{"name": "demo", "snapshot": "a\nb"}, problem.BadParams, "snapshot"},
		{api.MethodAttach, map[string]any{"name": "demo", "directory": "/x\n"}, problem.BadParams, "directory"},
		{api.MethodOperationGet, map[string]any{"id": "x"}, problem.OperationNotFound, "x"},
		{api.MethodBackendCheck, map[string]any{"name": "moon"}, problem.BackendUnknown, "moon"},
		{api.MethodForwardAdd, map[string]any{"name": "demo", "forward": "1 a:2"}, problem.Internal, "no problem"},
		{api.MethodForwardRemove, map[string]any{"name": "demo", "forward": "1 a:2"}, problem.Internal, "internal error"},
		{"nixvm/vm/levitate", nil, rpc.ProblemMethod, "levitate"},
		{api.MethodInitialize, nil, rpc.ProblemRequest, "already"},
	} {
		err := c.Call(context.Background(), tc.method, tc.params, nil)
		if p := wantCode(t, err, tc.code); !strings.Contains(p.Message, tc.says) {
			t.Errorf("%s %v: %q does not say %q", tc.method, tc.params, p.Message, tc.says)
		}
	}
}

func TestTwoClientsSeeTheSameCreate(t *testing.T) {
	fake := newCore()
	layout := serve(t, fake)
	first, firstNotes := connect(t, layout, "first")
	_, secondNotes := connect(t, layout, "second")
	await(t, secondNotes, api.MethodDidChange, func(p api.DidChangeParams) bool { return p.Full })

	answer := make(chan error, 1)
	go func() {
		answer <- first.Call(context.Background(), api.MethodVMCreate,
			map[string]any{"name": "demo", "workDoneToken": "t1"}, nil)
	}()
	begin := await(t, firstNotes, api.MethodProgress, func(p api.ProgressParams) bool { return p.Value.Kind == "begin" })
	if begin.Value.Title != "Create demo" || *begin.Value.Percentage != 0 || begin.Token.String() != `"t1"` {
		t.Errorf("begin: %+v", begin)
	}
	id := begin.Value.Operation
	fake.move(id, func(o *api.Operation) { o.Percent, o.Message = new(40), "half way" })
	await(t, firstNotes, api.MethodProgress, func(p api.ProgressParams) bool {
		return p.Value.Message == "half way" && *p.Value.Percentage == 40
	})
	await(t, secondNotes, api.MethodDidChange, func(p api.DidChangeParams) bool {
		return len(p.Operations) == 1 && p.Operations[0].Message == "half way" && p.Operations[0].Client == "first"
	})
	// The first goes away; the operation goes on and the second sees its end.
	first.Close()
	if p := problem.From(<-answer); p == nil || p.Code != problem.DaemonUnreachable {
		t.Errorf("the lost request ended with %v", p)
	}
	again, againNotes := connect(t, layout, "first again")
	result := make(chan api.OperationResult, 1)
	go func() {
		result <- call[api.OperationResult](t, again, api.MethodOperationSubscribe, map[string]any{"id": id, "workDoneToken": 7})
	}()
	await(t, againNotes, api.MethodProgress, func(p api.ProgressParams) bool { return p.Value.Message == "half way" })
	fake.end(id, api.OpSucceeded, nil)
	if r := <-result; r.Operation.State != "succeeded" || r.VM == nil || r.VM.Name != "demo" {
		t.Errorf("the subscription was answered with %+v", r)
	}
	await(t, againNotes, api.MethodProgress, func(p api.ProgressParams) bool { return p.Value.Kind == "end" })
	await(t, secondNotes, api.MethodDidChange, func(p api.DidChangeParams) bool {
		return len(p.Operations) == 1 && p.Operations[0].State == "succeeded"
	})
}

func TestACloneIsAnOperationOfTheNewMachine(t *testing.T) {
	fake := newCore("demo")
	c, notes := connect(t, serve(t, fake), "test")
	result := make(chan api.OperationResult, 1)
	go func() {
		result <- call[api.OperationResult](t, c, api.MethodVMClone,
			map[string]any{"name": "demo", "newName": "copy", "snapshot": "s1", "workDoneToken": 1})
	}()
	begin := await(t, notes, api.MethodProgress, func(p api.ProgressParams) bool { return p.Value.Kind == "begin" })
	if begin.Value.Title != "Clone demo to copy" {
		t.Errorf("begin: %+v", begin)
	}
	fake.end(begin.Value.Operation, api.OpSucceeded, nil)
	r := <-result
	if o := r.Operation; o.Kind != "clone" || o.Machine != "copy" || o.Source != "demo" || o.Snapshot != "s1" || r.VM == nil || r.VM.Name != "copy" {
		t.Errorf("the answer is %+v, %+v", r, r.VM)
	}
}

func TestCancellingARequestCancelsItsOperation(t *testing.T) {
	fake := newCore("demo")
	layout := serve(t, fake)
	c, notes := connect(t, layout, "test")
	ctx, cancel := context.WithCancel(context.Background())
	answer := make(chan error, 1)
	go func() {
		answer <- c.Call(ctx, api.MethodVMStart, map[string]any{"name": "demo", "workDoneToken": 1}, nil)
	}()
	await(t, notes, api.MethodProgress, func(p api.ProgressParams) bool { return p.Value.Kind == "begin" })
	wantCode(t, c.Call(context.Background(), api.MethodVMStop, api.VMParams{Name: "demo"}, nil), problem.VMBusy)
	cancel()
	if err := <-answer; err != context.Canceled {
		t.Errorf("the call ended with %v", err)
	}
	await(t, notes, api.MethodDidChange, func(p api.DidChangeParams) bool {
		return len(p.Operations) == 1 && p.Operations[0].State == "cancelled"
	})
	// By its token, too.
	go func() {
		answer <- c.Call(context.Background(), api.MethodVMStart, map[string]any{"name": "demo", "workDoneToken": 2}, nil)
	}()
	await(t, notes, api.MethodProgress, func(p api.ProgressParams) bool { return p.Value.Kind == "begin" })
	if err := c.Notify(context.Background(), api.MethodProgressCancel, map[string]any{"token": 2}); err != nil {
		t.Fatal(err)
	}
	wantCode(t, <-answer, problem.Cancelled)
}

func TestDetachAnswersAtOnce(t *testing.T) {
	fake := newCore("demo")
	c, _ := connect(t, serve(t, fake), "test")
	r := call[api.OperationResult](t, c, api.MethodVMStop, map[string]any{"name": "demo", "detach": true})
	if r.Operation.State != "running" || r.VM != nil {
		t.Errorf("got %+v", r)
	}
	fake.end(r.Operation.ID, api.OpFailed, problem.New(problem.VMStopTimeout, "too slow").WithHint("kill it"))
	p := wantCode(t, c.Call(context.Background(), api.MethodOperationSubscribe, api.OperationParams{ID: r.Operation.ID}, nil), problem.VMStopTimeout)
	if p.Hint != "kill it" {
		t.Errorf("hint %q", p.Hint)
	}
}

func TestASlowReadIsCancelledAlone(t *testing.T) {
	c, _ := connect(t, serve(t, newCore("demo")), "test")
	ctx, cancel := context.WithCancel(context.Background())
	answer := make(chan error, 1)
	go func() {
		answer <- c.Call(ctx, api.MethodSSHEndpoint, api.EndpointParams{Host: "demo", Wait: true}, nil)
	}()
	call[api.VersionResult](t, c, api.MethodVersion, nil) // it is not blocked
	cancel()
	<-answer
	call[api.VersionResult](t, c, api.MethodVersion, nil)
}

func TestConsoleIsASocketForOneConnection(t *testing.T) {
	c, _ := connect(t, serve(t, newCore("demo")), "test")
	r := call[api.ConsoleResult](t, c, api.MethodVMConsole, api.MachineParams{Name: "demo"})
	conn, err := net.Dial("unix", r.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 5)
	if _, err := conn.Read(got); err != nil || string(got) != "hello" {
		t.Errorf("console: %q, %v", got, err)
	}
	if second, err := net.Dial("unix", r.Socket); err == nil {
		second.Close()
		t.Error("a second connection is let in")
	}
}

// TestTheConsoleIsFitForATerminal: the core echoes, so what is written is what a
// guest says.
func TestTheConsoleIsFitForATerminal(t *testing.T) {
	c, _ := connect(t, serve(t, newCore("demo")), "test")
	const said = "\x1b]52;c;eA==\x07\x1b[1mlogin\x1b[6n: "
	for raw, want := range map[bool]string{false: "\x1b[1mlogin: ", true: said} {
		r := call[api.ConsoleResult](t, c, api.MethodVMConsole, api.ConsoleParams{Name: "demo", Raw: raw})
		conn, err := net.Dial("unix", r.Socket)
		if err != nil {
			t.Fatal(err)
		}
		go func() { // a byte at a time, as a serial line is
			for i := range said {
				_, _ = conn.Write([]byte{said[i]})
			}
		}()
		got := make([]byte, len(want))
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != want {
			t.Errorf("raw %v: %q, %v", raw, got, err)
		}
		conn.Close()
	}
}
