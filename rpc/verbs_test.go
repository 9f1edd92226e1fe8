package rpc_test

import (
	"context"
	"slices"
	"testing"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/rpc"
	"github.com/nixvm/nixvm/vm"
)

// The verbs of the protocol are those that the core offers, each with a method
// of this daemon.
func TestEachVerbHasAMethod(t *testing.T) {
	core := newCore("demo")
	core.able(backends.Capabilities{LiveSnapshot: true, Console: true, Suspend: true, Clone: true, CloneSnapshot: true, Autostart: true})
	c, _ := connect(t, serve(t, core), "test")
	caps := c.Server().Capabilities.Experimental.Nixvm
	if caps.Revision != api.Revision {
		t.Errorf("revision %d", caps.Revision)
	}
	known := map[string]api.Verb{}
	for _, v := range caps.Verbs {
		known[v.Key] = v
		if !slices.Contains(caps.Methods, v.Method) || v.Title == "" {
			t.Errorf("%+v has no method or title", v)
		}
		for _, m := range rpc.Methods() {
			if m.Name == v.Method && m.Work != v.Operation {
				t.Errorf("%s begins an operation: %t", v.Key, m.Work)
			}
		}
	}
	for _, state := range []backends.State{backends.Absent, backends.Stopped, backends.Running, backends.Suspended} {
		for _, verb := range (vm.VM{Machine: api.Machine{State: state}, Operation: &api.Operation{State: api.OpSucceeded}}).Verbs(core.Backends()) {
			if _, ok := known[string(verb)]; !ok {
				t.Errorf("%s is no verb of the protocol", verb)
			}
		}
	}
	if !slices.Contains(caps.Backends[0].Actions, "console") || slices.Contains(caps.Backends[0].Actions, "migrate") {
		t.Errorf("the backend offers %v", caps.Backends[0].Actions)
	}
}

func TestAMachineSaysWhatCanBeDoneWithItNow(t *testing.T) {
	core := newCore("demo")
	c, notes := connect(t, serve(t, core), "test")
	await(t, notes, api.MethodDidChange, func(p api.DidChangeParams) bool {
		return p.Full && len(p.Backends) == 1 && !p.Backends[0].Capabilities.Console && p.Machines[0].Phase == "ready" && slices.Contains(p.Machines[0].Actions, "stop") && !slices.Contains(p.Machines[0].Actions, "console")
	})
	v := machineNamed("demo")
	v.Ready, v.Operation = false, &api.Operation{ID: "x", Kind: api.KindReboot, State: api.OpRunning}
	core.set(v)
	await(t, notes, api.MethodDidChange, func(p api.DidChangeParams) bool {
		return len(p.Changed) == 1 && p.Changed[0].Phase == "booting" && slices.Contains(p.Changed[0].Actions, "cancel") && !slices.Contains(p.Changed[0].Actions, "stop")
	})
	// A backend that can do more is no change of the machine, but of what it offers.
	core.able(backends.Capabilities{LiveSnapshot: true, Console: true})
	core.backendChanged("qemu")
	offered, changed := false, false
	await(t, notes, api.MethodDidChange, func(p api.DidChangeParams) bool {
		offered = offered || len(p.Backends) == 1 && p.Backends[0].Capabilities.Console
		changed = changed || len(p.Changed) == 1 && slices.Contains(p.Changed[0].Actions, "console")
		return offered && changed
	})
	if m := call[api.MachineResult](t, c, api.MethodMachineGet, api.MachineParams{Name: "demo"}); !slices.Contains(m.Machine.Actions, "console") {
		t.Errorf("get: %v", m.Machine.Actions)
	}
}

func TestAnOperationSaysWhatBecomesOfConnections(t *testing.T) {
	core := newCore("demo")
	c, _ := connect(t, serve(t, core), "test")
	for kind, want := range map[api.Kind]api.Outcome{
		api.KindStart: "", api.KindSnapshot: "", api.KindMigrate: "", api.KindStop: "down", api.KindKill: "down", api.KindSuspend: "down", api.KindDestroy: "down",
		api.KindPurge: "down", api.KindReboot: "up", api.KindUpgrade: "up", api.KindRollback: "up", api.KindRestoreSnapshot: "replaced",
	} {
		op, err := core.begin(kind, "demo", "t")
		if err != nil {
			t.Fatal(err)
		}
		var r api.OperationGetResult
		if err := c.Call(context.Background(), api.MethodOperationGet, api.OperationParams{ID: op.ID}, &r); err != nil {
			t.Fatal(err)
		}
		if r.Operation.Disruptive != (want != "") || r.Operation.Outcome != want {
			t.Errorf("%s: disruptive %t, outcome %q, want %q", kind, r.Operation.Disruptive, r.Operation.Outcome, want)
		}
		core.end(op.ID, api.OpSucceeded, nil)
	}
}
