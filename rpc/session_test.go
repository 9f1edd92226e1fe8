package rpc_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/rpc"
	"github.com/nixvm/nixvm/rpc/frame"
)

func TestWhatIsNoRequestIsAnsweredAndTheSessionGoesOn(t *testing.T) {
	r := dialReady(t, serve(t, newCore("demo")), `{}`, false)
	for i, tc := range []struct {
		name, body string
		code       problem.Code
	}{
		{"an empty body", ``, rpc.ProblemParse},
		{"half an object", `{"jsonrpc":"2.0","id":1,`, rpc.ProblemParse},
		{"binary", "\x00\xff\xfe", rpc.ProblemParse},
		{"a string", `"nixvm/version"`, rpc.ProblemRequest},
		{"null", `null`, rpc.ProblemRequest},
		{"an empty object", `{}`, rpc.ProblemRequest},
		{"an empty batch", `[]`, rpc.ProblemRequest},
		{"a batch", `[{"jsonrpc":"2.0","id":1,"method":"nixvm/version"}]`, rpc.ProblemRequest},
		{"no method", `{"jsonrpc":"2.0","id":1}`, rpc.ProblemRequest},
		{"a method that is a number", `{"jsonrpc":"2.0","id":1,"method":7}`, rpc.ProblemRequest},
		{"a fraction as id", `{"jsonrpc":"2.0","id":1.5,"method":"nixvm/version"}`, rpc.ProblemRequest},
		{"a list as id", `{"jsonrpc":"2.0","id":[1],"method":"nixvm/version"}`, rpc.ProblemRequest},
		{"very deep nesting", strings.Repeat("[", 20000) + strings.Repeat("]", 20000), rpc.ProblemParse},
	} {
		r.send(tc.body)
		m := r.until("answer", func(m message) bool { return m.Method == "" })
		if string(m.ID) != "null" || m.code() != tc.code {
			t.Errorf("%s: id %s, %v", tc.name, m.ID, m.Error)
		}
		r.request(100+i, api.MethodVersion, `{}`)
		r.answer(100 + i)
	}
	// Unexpected answers and unknown notifications are ignored.
	r.send(`{"jsonrpc":"2.0","id":77,"result":{}}`)
	r.send(`{"jsonrpc":"2.0","method":"$/whatever","params":[1]}`)
	r.send(`{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":{}}}`)
	r.send(`{"jsonrpc":"2.0","method":"window/workDoneProgress/cancel","params":{"token":[]}}`)
	r.request(1, api.MethodVersion, `null`)
	r.answer(1)
}

func TestWrongFramingEndsOneSessionWithAnAnswer(t *testing.T) {
	layout := serve(t, newCore("demo"))
	other, _ := connect(t, layout, "other")
	for name, sent := range map[string]string{
		"another protocol":   "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"no length":          "Content-Type: x\r\n\r\n{}",
		"a word as length":   "Content-Length: many\r\n\r\n",
		"a negative length":  "Content-Length: -1\r\n\r\n",
		"two lengths":        "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
		"too long a message": fmt.Sprintf("Content-Length: %d\r\n\r\n", frame.MaxMessage+1),
		"too long a header":  "X: " + strings.Repeat("x", frame.MaxHeader) + "\r\n\r\n",
		"binary":             "\x00\x01\x02\n",
	} {
		r := dialReady(t, layout, `{}`, false)
		r.bytes([]byte(sent))
		m := r.until("answer", func(m message) bool { return m.Method == "" })
		if string(m.ID) != "null" || m.Error == nil || m.Error.Code != rpc.CodeParseError || m.code() != rpc.ProblemParse {
			t.Errorf("%s: id %s, %v", name, m.ID, m.Error)
		}
		r.wantEnd()
	}
	cut := dialReady(t, layout, `{}`, false)
	cut.bytes([]byte("Content-Length: 100\r\n\r\n{"))
	cut.CloseWrite()
	cut.wantEnd()
	call[api.VersionResult](t, other, api.MethodVersion, nil)
}

func TestALongMessageIsRead(t *testing.T) {
	r := dialReady(t, serve(t, newCore("demo")), `{}`, false)
	head, tail := `{"jsonrpc":"2.0","id":1,"method":"nixvm/machine/get","params":{"name":"`, `"}}`
	r.send(head + strings.Repeat("x", frame.MaxMessage/8-len(head)-len(tail)) + tail)
	if m := r.answer(1); m.code() != problem.MachineNameInvalid {
		t.Errorf("got %v", m.Error)
	}
}

func TestASessionHasABeginningAndAnEnd(t *testing.T) {
	layout := serve(t, newCore("demo"))
	r := dialRaw(t, layout)
	r.send(`{"jsonrpc":"2.0","method":"initialized","params":{}}`) // too early: nothing follows
	r.request(1, api.MethodMachineList, `{}`)
	if m := r.answer(1); m.Error == nil || m.Error.Code != rpc.CodeNotInitialized || m.code() != rpc.ProblemNotInitialized {
		t.Errorf("before initialize: %v", m.Error)
	}
	r.request(2, api.MethodShutdown, `null`)
	if m := r.answer(2); m.code() != rpc.ProblemNotInitialized {
		t.Errorf("shutdown before initialize: %v", m.Error)
	}
	r.request(3, api.MethodVersion, `null`)
	if m := r.answer(3); m.Error != nil {
		t.Errorf("version before initialize: %v", m.Error)
	}
	r.request(4, api.MethodInitialize, `{"initializationOptions":{"protocolVersions":[99]}}`)
	if m := r.answer(4); m.code() != rpc.ProblemProtocol {
		t.Errorf("a protocol of the future: %v", m.Error)
	}
	r.request(5, api.MethodInitialize, `{"capabilities":{"textDocument":{"hover":{}}},"rootUri":null,"trace":"off"}`)
	m := r.answer(5)
	if m.Error != nil {
		t.Errorf("initialize: %v", m.Error)
	}
	const defaults = `"defaults":{"profiles":["claude"],"mode":"immutable","memoryMiB":2048,"vcpus":2,"diskBytes":21474836480,"network":"nat"}`
	if !strings.Contains(string(m.Result), defaults) {
		t.Errorf("initialize does not tell the defaults of create: %s", m.Result)
	}
	r.request(6, api.MethodShutdown, `null`)
	if m := r.answer(6); m.Error != nil || string(m.Result) != "null" {
		t.Errorf("shutdown: %s %v", m.Result, m.Error)
	}
	r.request(7, api.MethodMachineList, `{}`)
	if m := r.answer(7); m.code() != rpc.ProblemShutDown {
		t.Errorf("after shutdown: %v", m.Error)
	}
	r.send(`{"jsonrpc":"2.0","method":"exit"}`)
	r.wantEnd()
}

func TestAbsentNullAndEmptyParamsAreTheSame(t *testing.T) {
	r := dialReady(t, serve(t, newCore("demo")), `{}`, false)
	id := 0
	for _, m := range rpc.Methods() {
		if m.Name == api.MethodVersion || m.Name == api.MethodImageBuild {
			continue // the one is the same for everybody anyway, the other begins another operation each time
		}
		var answers []string
		for _, params := range []string{``, `,"params":null`, `,"params":{}`} {
			id++
			r.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":%q%s}`, id, m.Name, params))
			a := r.answer(id)
			answers = append(answers, fmt.Sprintf("%s %v", a.Result, a.Error))
		}
		if answers[0] != answers[1] || answers[1] != answers[2] {
			t.Errorf("%s: absent, null and {} are answered differently: %q", m.Name, answers)
		}
	}
}

func TestIdsComeBackAsTheyWere(t *testing.T) {
	r := dialReady(t, serve(t, newCore()), `{}`, false)
	for _, id := range []string{`0`, `-1`, `9007199254740993`, `""`, `"a\"b"`, `"7"`} {
		r.send(`{"jsonrpc":"2.0","id":` + id + `,"method":"nixvm/version"}`)
		if m := r.until("answer", func(m message) bool { return m.Method == "" }); string(m.ID) != id {
			t.Errorf("id %s came back as %s", id, m.ID)
		}
		r.send(`{"jsonrpc":"2.0","id":` + id + `,"method":"nixvm/ssh/endpoint","params":{"host":"demo","wait":true}}`)
		r.send(`{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":` + id + `}}`)
		if m := r.until("answer", func(m message) bool { return m.Method == "" }); string(m.ID) != id || m.code() != problem.Cancelled {
			t.Errorf("id %s cannot be cancelled: %s %v", id, m.ID, m.Error)
		}
	}
}

func TestReadsAreAnsweredInTheOrderOfTheRequests(t *testing.T) {
	r := dialReady(t, serve(t, newCore("demo")), `{}`, false)
	methods := []string{api.MethodMachineList, api.MethodVersion, api.MethodProfileList, api.MethodOperationList, "nixvm/none", api.MethodBackendList}
	const n = 600
	go func() {
		var all []byte
		for i := 1; i <= n; i++ {
			all = frame.Append(all, []byte(requestBody(i, methods[i%len(methods)], `{}`)))
		}
		_, _ = r.Write(all)
	}()
	for i := 1; i <= n; i++ {
		r.answer(i)
	}
}

func TestOneIdCannotWaitTwice(t *testing.T) {
	r := dialReady(t, serve(t, newCore("demo")), `{}`, false)
	r.request(1, api.MethodSSHEndpoint, `{"host":"demo","wait":true}`)
	r.request(1, api.MethodSSHEndpoint, `{"host":"demo","wait":true}`)
	if m := r.answer(1); m.code() != rpc.ProblemRequest {
		t.Errorf("got %v", m.Error)
	}
	r.send(`{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":1}}`)
	if m := r.answer(1); m.code() != problem.Cancelled {
		t.Errorf("got %v", m.Error)
	}
}

const withProgress = `{"window":{"workDoneProgress":true}}`

func TestTheServerAsksForATokenOfItsOwn(t *testing.T) {
	fake := newCore("demo")
	r := dialReady(t, serve(t, fake), withProgress, false)
	r.request(1, api.MethodVMStart, `{"name":"demo"}`)
	asked := r.notified(api.MethodProgressCreate)
	var p api.WorkDoneProgressCreateParams
	if err := json.Unmarshal(asked.Params, &p); err != nil || p.Token.IsZero() {
		t.Fatalf("%s: %v", asked.Params, err)
	}
	r.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":null}`, asked.ID))
	begin := r.notified(api.MethodProgress)
	var progress api.ProgressParams
	if err := json.Unmarshal(begin.Params, &progress); err != nil || progress.Value.Kind != "begin" || progress.Token != p.Token {
		t.Fatalf("%s: %v", begin.Params, err)
	}
	fake.move(progress.Value.Operation, func(o *api.Operation) { o.Percent, o.Message = new(30), "booting" })
	r.until("report", func(m message) bool {
		return m.Method == api.MethodProgress && strings.Contains(string(m.Params), `"percentage":30`)
	})
	r.send(fmt.Sprintf(`{"jsonrpc":"2.0","method":"window/workDoneProgress/cancel","params":{"token":%s}}`, p.Token))
	r.until("end", func(m message) bool {
		return m.Method == api.MethodProgress && strings.Contains(string(m.Params), `"kind":"end"`)
	})
	if m := r.answer(1); m.code() != problem.Cancelled {
		t.Errorf("got %v", m.Error)
	}
}

func TestATokenThatIsRefusedOrNeverMadeHoldsNothingUp(t *testing.T) {
	fake := newCore("demo", "other")
	r := dialReady(t, serve(t, fake), withProgress, false)
	r.request(1, api.MethodVMStart, `{"name":"demo"}`)
	asked := r.notified(api.MethodProgressCreate)
	r.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"no"}}`, asked.ID))
	r.request(2, api.MethodVMStart, `{"name":"other"}`)
	r.notified(api.MethodProgressCreate) // and never answered
	fake.end("op1", api.OpSucceeded, nil)
	if m := r.answer(1); m.Error != nil {
		t.Error(m.Error)
	}
	fake.end("op2", api.OpSucceeded, nil)
	if m := r.answer(2); m.Error != nil {
		t.Error(m.Error)
	}
}

func TestASubscriptionIsGivenUpAlone(t *testing.T) {
	fake := newCore("demo")
	r := dialReady(t, serve(t, fake), `{}`, false)
	r.request(1, api.MethodVMStart, `{"name":"demo","workDoneToken":"own"}`)
	r.notified(api.MethodProgress)
	r.request(2, api.MethodOperationSubscribe, `{"id":"op1","workDoneToken":"second"}`)
	r.until("begin", func(m message) bool { return strings.Contains(string(m.Params), `"second"`) })
	r.send(`{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":2}}`)
	if m := r.answer(2); m.code() != problem.Cancelled {
		t.Errorf("got %v", m.Error)
	}
	r.until("end of the second", func(m message) bool {
		return strings.Contains(string(m.Params), `"second"`) && strings.Contains(string(m.Params), `"end"`)
	})
	if op, _ := fake.Operation("op1"); op.State != api.OpRunning {
		t.Errorf("the operation is %s", op.State)
	}
	r.send(`{"jsonrpc":"2.0","method":"window/workDoneProgress/cancel","params":{"token":"own"}}`)
	if m := r.answer(1); m.code() != problem.Cancelled {
		t.Errorf("got %v", m.Error)
	}
}

func TestTextOfGuestsAndToolsIsMadePlain(t *testing.T) {
	fake := newCore("demo")
	c, notes := connect(t, serve(t, fake), "test")
	await(t, notes, api.MethodDidChange, func(p api.DidChangeParams) bool { return p.Full })
	v := machineNamed("demo")
	v.Reason = "\x1b[31mred\x1b[0m\x07 and\nmore"
	fake.set(v)
	await(t, notes, api.MethodDidChange, func(p api.DidChangeParams) bool {
		return len(p.Changed) == 1 && p.Changed[0].Reason == "red and more"
	})
	r := call[api.OperationResult](t, c, api.MethodVMStart, map[string]any{"name": "demo", "detach": true})
	fake.end(r.Operation.ID, api.OpFailed, problem.New(problem.VMStartFailed, "qemu says:\n\x1b]0;x\x07no").WithHint("\x1b[2Jvirsh"))
	err := c.Call(context.Background(), api.MethodOperationSubscribe, api.OperationParams{ID: r.Operation.ID}, nil)
	if p := wantCode(t, err, problem.VMStartFailed); strings.ContainsAny(p.Message, "\x1b\x07") || !strings.HasPrefix(p.Message, "qemu says:\n") {
		t.Errorf("message %q", p.Message)
	} else if p.Hint != "virsh" {
		t.Errorf("hint %q", p.Hint)
	}
	if list := call[api.SnapshotListResult](t, c, api.MethodSnapshotList, api.MachineParams{Name: "demo"}); list.Snapshots[0].Description != "first" {
		t.Errorf("snapshots %+v", list.Snapshots)
	}
}

func TestTheStatusFollowsWhatIsWrong(t *testing.T) {
	fake := newCore("demo", "other")
	layout := serve(t, fake)
	_, notes := connect(t, layout, "first")
	status := func(notes chan note, want api.ServerStatusParams) {
		t.Helper()
		await(t, notes, api.MethodServerStatus, func(p api.ServerStatusParams) bool { return p == want })
	}
	status(notes, api.ServerStatusParams{Health: api.HealthOK, Quiescent: true})
	for _, name := range []string{"other", "demo"} {
		v := machineNamed(name)
		v.Problem = problem.New(problem.MachineBroken, "memory: not a number")
		fake.set(v)
	}
	broken := api.ServerStatusParams{
		Health: api.HealthWarning, Quiescent: true, Message: "demo: memory: not a number (and 1 machine more)",
	}
	status(notes, broken)
	_, late := connect(t, layout, "second")
	status(late, broken)
	fake.set(machineNamed("demo"))
	fake.set(machineNamed("other"))
	status(notes, api.ServerStatusParams{Health: api.HealthOK, Quiescent: true})
	op, err := fake.Start(context.Background(), "demo", "x")
	if err != nil {
		t.Fatal(err)
	}
	status(notes, api.ServerStatusParams{Health: api.HealthOK})
	fake.end(op.ID, api.OpSucceeded, nil)
	status(notes, api.ServerStatusParams{Health: api.HealthOK, Quiescent: true})
}

func TestWhatWasRepairedIsToldOnce(t *testing.T) {
	c := newCore("demo")
	c.notice("before\x1b[2J anyone came")
	layout := serve(t, c)
	first := dialReady(t, layout, "{}", true)
	if m := first.notified(api.MethodShowMessage); !strings.Contains(string(m.Params), `"before anyone came"`) {
		t.Errorf("told %s", m.Params)
	}
	second := dialReady(t, layout, "{}", true)
	second.notified(api.MethodDidChange) // it is there
	c.notice("while they watch")
	for _, r := range []*raw{first, second} {
		if m := r.notified(api.MethodShowMessage); !strings.Contains(string(m.Params), "while they watch") {
			t.Errorf("told %s", m.Params)
		}
	}
	c.set(machineNamed("other"))
	second.until("the change", func(m message) bool {
		if m.Method == api.MethodShowMessage {
			t.Errorf("told again: %s", m.Params)
		}
		return m.Method == api.MethodDidChange && strings.Contains(string(m.Params), `"other"`)
	})
}
