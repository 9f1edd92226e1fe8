package rpc_test

import (
	"context"
	"testing"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

// unresolvedCreate is a core on which a create waits for a choice.
func unresolvedCreate(t *testing.T) (*core, string) {
	t.Helper()
	fake := newCore("demo")
	op, err := fake.begin(api.KindCreate, "demo", "test")
	if err != nil {
		t.Fatal(err)
	}
	fake.move(op.ID, func(o *api.Operation) {
		o.State, o.Problem, o.Message = api.OpUnresolved, problem.New(problem.DiskFull, "it could not be taken back"), "it could not be taken back"
		o.Choices = []api.Choice{
			{Action: api.ActionResume, Effect: "goes on"},
			{Action: api.ActionUndo, Effect: "removes\x1b[1m the disks", Confirm: true},
			{Action: api.ActionForget, Effect: "leaves it"},
		}
	})
	v := machineNamed("demo")
	v.Unresolved = []string{op.ID}
	fake.set(v)
	return fake, op.ID
}

func TestAnUnresolvedOperationIsPartOfTheState(t *testing.T) {
	fake, id := unresolvedCreate(t)
	c, notes := connect(t, serve(t, fake), "test")
	full := await(t, notes, api.MethodDidChange, func(p api.DidChangeParams) bool { return p.Full })
	if len(full.Operations) != 1 || full.Operations[0].State != "unresolved" || len(full.Operations[0].Choices) != 3 {
		t.Fatalf("operations: %+v", full.Operations)
	}
	undo := full.Operations[0].Choices[1]
	if undo.Action != "undo" || undo.Effect != "removes the disks" || !undo.Confirm {
		t.Errorf("a choice is %+v", undo)
	}
	if m := full.Machines[0]; len(m.Unresolved) != 1 || m.Unresolved[0] != id || m.Operation != "" {
		t.Errorf("the machine is %+v", m)
	}
	// It is not running, and it has ended for its followers.
	status := await(t, notes, api.MethodServerStatus, func(api.ServerStatusParams) bool { return true })
	if !status.Quiescent || status.Health != api.HealthWarning {
		t.Errorf("the status is %+v", status)
	}
	wantCode(t, c.Call(context.Background(), api.MethodOperationSubscribe, api.OperationParams{ID: id}, nil), problem.DiskFull)
}

func TestAChoiceIsAnOperationOfItsOwn(t *testing.T) {
	fake, id := unresolvedCreate(t)
	c, notes := connect(t, serve(t, fake), "test")
	bad := api.ResolveParams{ID: id, Action: "explode"}
	wantCode(t, c.Call(context.Background(), api.MethodOperationResolve, bad, nil), problem.BadParams)
	bare := api.ResolveParams{ID: id, Action: "undo"}
	wantCode(t, c.Call(context.Background(), api.MethodOperationResolve, bare, nil), problem.ConfirmRequired)

	result := make(chan api.OperationResult, 1)
	go func() {
		result <- call[api.OperationResult](t, c, api.MethodOperationResolve,
			map[string]any{"id": id, "action": "undo", "confirm": "demo", "workDoneToken": 1})
	}()
	begin := await(t, notes, api.MethodProgress, func(p api.ProgressParams) bool { return p.Value.Kind == "begin" })
	fake.end(begin.Value.Operation, api.OpSucceeded, nil)
	if r := <-result; r.Operation.Kind != "resolve" || r.Operation.State != "succeeded" {
		t.Errorf("the answer is %+v", r)
	}
	forgotten := call[api.OperationResult](t, c, api.MethodOperationResolve, map[string]any{"id": id, "action": "forget"})
	if o := forgotten.Operation; o.ID != id || o.State != "failed" || len(o.Choices) != 0 {
		t.Errorf("forgotten: %+v", o)
	}
	await(t, notes, api.MethodDidChange, func(p api.DidChangeParams) bool {
		return len(p.Operations) == 1 && p.Operations[0].ID == id && p.Operations[0].State == "failed"
	})
	wantCode(t, c.Call(context.Background(), api.MethodOperationResolve, api.ResolveParams{ID: id, Action: "forget"}, nil), problem.OperationResolved)
}
