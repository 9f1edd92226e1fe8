package rpc_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/paths"
	"github.com/nixvm/nixvm/rpc"
	"github.com/nixvm/nixvm/rpc/frame"
	"github.com/nixvm/nixvm/vm"
)

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestAClientThatDoesNotReadHoldsNobodyUpAndSeesTheLastStateLater(t *testing.T) {
	var names []string
	for i := range 50 {
		names = append(names, fmt.Sprintf("m%02d", i))
	}
	fake := newCore(names...)
	layout := serve(t, fake)
	sleeper := dialReady(t, layout, `{}`, true)
	sleeper.notified(api.MethodServerStatus) // the full state is behind
	sleeper.request(1, api.MethodVMStart, `{"name":"m00","workDoneToken":"t"}`)
	sleeper.notified(api.MethodProgress)

	reader := dialReady(t, layout, `{}`, true)
	reader.notified(api.MethodServerStatus)
	last := make(chan struct{})
	go func() {
		defer close(last)
		for m, err := reader.next(); err == nil; m, err = reader.next() {
			if strings.Contains(string(m.Params), `"memoryMiB":5000,`) {
				return
			}
		}
		t.Error("the client that reads does not see the last change")
	}()

	before := heap()
	for i := 1; i <= 5000; i++ {
		v := machineNamed(names[i%len(names)])
		v.MemoryMiB = i
		fake.set(v)
		fake.move("op1", func(o *api.Operation) { o.Percent, o.Message = new(i/60), fmt.Sprintf("step %d", i) })
	}
	<-last
	if after := heap(); after > before+8<<20 {
		t.Errorf("5,000 changes that a client does not read cost %d KiB", (after-before)>>10)
	}
	fake.end("op1", api.OpSucceeded, nil)

	// It wakes up.
	state, messages := map[string]int{}, 0
	sleeper.until("answer", func(m message) bool {
		messages++
		var p api.DidChangeParams
		if m.Method == api.MethodDidChange && json.Unmarshal(m.Params, &p) == nil {
			for _, v := range p.Changed {
				state[v.Name] = v.MemoryMiB
			}
		}
		return m.Method == ""
	})
	for i := 4951; i <= 5000; i++ {
		if name := names[i%len(names)]; state[name] != i {
			t.Errorf("%s: the client's last state is %d, not %d", name, state[name], i)
		}
	}
	if messages > 3000 {
		t.Errorf("%d messages came: nothing was merged", messages)
	}
}

func TestAnAnswerIsNeverOlderThanWhatCameBefore(t *testing.T) {
	fake := newCore("demo")
	r := dialReady(t, serve(t, fake), `{}`, true)
	r.notified(api.MethodServerStatus)
	const n = 2000
	go func() {
		for i := 1; i <= n; i++ {
			v := machineNamed("demo")
			v.MemoryMiB = 5000 + i
			fake.set(v)
		}
	}()
	go func() {
		for i := 1; i <= n; i++ {
			if _, err := r.Write(frame.Append(nil, []byte(requestBody(i, api.MethodMachineGet, `{"name":"demo"}`)))); err != nil {
				return
			}
		}
	}()
	newest, answers := 0, 0
	for answers < n || newest < 5000+n {
		m, err := r.next()
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Changed []api.Machine
			Machine api.Machine
		}
		switch m.Method {
		case "":
			answers++
			err = json.Unmarshal(m.Result, &got)
		case api.MethodDidChange:
			err = json.Unmarshal(m.Params, &got)
			got.Machine = got.Changed[0]
		default:
			continue
		}
		if err != nil || got.Machine.MemoryMiB < newest {
			t.Fatalf("%d comes after %d (%v)", got.Machine.MemoryMiB, newest, err)
		}
		newest = got.Machine.MemoryMiB
	}
}

func TestAFloodOfRequestsIsThrottledNotDropped(t *testing.T) {
	layout := serve(t, newCore("demo"))
	flood := dialReady(t, layout, `{}`, false)
	const n = 20000
	sent := make(chan error, 1)
	go func() {
		var all []byte
		for i := 1; i <= n; i++ {
			all = frame.Append(all, []byte(requestBody(i, api.MethodVersion, `{}`)))
		}
		_, err := flood.Write(all)
		sent <- err
	}()
	other, _ := connect(t, layout, "other")
	for range 100 {
		call[api.MachineListResult](t, other, api.MethodMachineList, nil)
	}
	for i := 1; i <= n; i++ {
		flood.answer(i)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

func TestTooManyRequestsThatWaitAreRefused(t *testing.T) {
	r := dialReady(t, serve(t, newCore("demo")), `{}`, false)
	for i := 1; i <= 257; i++ {
		r.request(i, api.MethodSSHEndpoint, `{"host":"demo","wait":true}`)
	}
	if m := r.answer(257); m.code() != rpc.ProblemTooManyRequests {
		t.Errorf("got %v", m.Error)
	}
	r.request(300, api.MethodVersion, `{}`)
	r.answer(300)
	r.send(`{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":1}}`)
	r.answer(1)
}

func TestAClientThatNeverReadsIsDropped(t *testing.T) {
	layout := serveWith(t, newCore("demo"), rpc.Options{WriteTimeout: 50 * time.Millisecond})
	r := dialReady(t, layout, `{}`, false)
	var err error
	for i := 1; err == nil; i++ { // until the daemon has closed its end
		_, err = r.Write(frame.Append(nil, []byte(requestBody(i, api.MethodMachineList, `{}`))))
	}
	if !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v", err)
	}
}

// waiter tells when a request that waits for a VM begins and ends.
type waiter struct {
	*core
	begun, ended chan struct{}
}

func newWaiter(names ...string) *waiter {
	return &waiter{core: newCore(names...), begun: make(chan struct{}, 1000), ended: make(chan struct{}, 1000)}
}

func (w *waiter) Endpoint(ctx context.Context, r api.EndpointParams) (api.Endpoint, error) {
	w.begun <- struct{}{}
	defer func() { w.ended <- struct{}{} }()
	return w.core.Endpoint(ctx, r)
}

func TestADeadClientIsNoticedAlthoughItsRequestsWait(t *testing.T) {
	fake := newWaiter("demo")
	layout := serve(t, fake)
	for name, leave := range map[string]func(*raw){
		"at once":           func(r *raw) { r.Close() },
		"one end at a time": func(r *raw) { r.CloseWrite(); r.Close() },
		"after garbage":     func(r *raw) { r.bytes([]byte("garbage\n")); r.notifiedOrAnswer(); r.Close() },
	} {
		r := dialReady(t, layout, `{}`, false)
		r.request(1, api.MethodSSHEndpoint, `{"host":"demo","wait":true}`)
		<-fake.begun
		leave(r)
		select {
		case <-fake.ended:
		case <-time.After(limit):
			t.Fatalf("%s: the request of a dead client waits on", name)
		}
	}
}

func (r *raw) notifiedOrAnswer() {
	r.t.Helper()
	r.until("message", func(message) bool { return true })
}

func TestAScriptMayCloseItsEndAndWaitForTheAnswers(t *testing.T) {
	fake := newCore("demo")
	r := dialReady(t, serve(t, fake), `{}`, false)
	r.request(1, api.MethodVMStart, `{"name":"demo","workDoneToken":1}`)
	r.notified(api.MethodProgress)
	r.CloseWrite()
	fake.move("op1", func(o *api.Operation) { o.Percent, o.Message = new(50), "half way" })
	r.notified(api.MethodProgress)
	fake.end("op1", api.OpSucceeded, nil)
	if m := r.answer(1); m.Error != nil {
		t.Error(m.Error)
	}
	r.wantEnd()
}

func TestAnOperationOutlivesItsClient(t *testing.T) {
	fake := newCore("demo")
	layout := serve(t, fake)
	r := dialReady(t, layout, `{}`, false)
	r.request(1, api.MethodVMStart, `{"name":"demo","workDoneToken":1}`)
	r.notified(api.MethodProgress)
	r.Close()
	c, notes := connect(t, layout, "second")
	full := await(t, notes, api.MethodDidChange, func(p api.DidChangeParams) bool { return p.Full })
	if len(full.Operations) != 1 || full.Operations[0].State != "running" {
		t.Errorf("operations: %+v", full.Operations)
	}
	fake.end("op1", api.OpSucceeded, nil)
	if r := call[api.OperationResult](t, c, api.MethodOperationSubscribe, api.OperationParams{ID: "op1"}); r.Operation.State != "succeeded" {
		t.Errorf("got %+v", r)
	}
}

// stuck has a change that ends only when it is cancelled.
type stuck struct {
	*core
	begun chan struct{}
}

func (s *stuck) Configure(ctx context.Context, _ api.ConfigureParams, _ string) (vm.VM, error) {
	close(s.begun)
	<-ctx.Done()
	return vm.VM{}, ctx.Err()
}

func TestServeEndsAlthoughClientsAndChangesHang(t *testing.T) {
	var names []string
	for i := range 1000 {
		names = append(names, fmt.Sprintf("m%03d", i))
	}
	fake := &stuck{core: newCore(names...), begun: make(chan struct{})}
	srv := rpc.NewServer(fake, rpc.Options{CloseTimeout: 10 * time.Millisecond, FlushTimeout: 10 * time.Millisecond})
	l := listenAnywhere(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ctx, l) }()
	layout := paths.Layout{Runtime: l.dir}
	deaf := dialReady(t, layout, `{}`, false)
	for i := 1; i <= 10; i++ {
		deaf.request(i, api.MethodMachineList, `{}`) // more than the socket holds
	}
	waits := dialReady(t, layout, `{}`, true)
	waits.request(1, api.MethodVMStart, `{"name":"m000"}`)
	waits.request(2, api.MethodMachineConfigure, `{"name":"m001","memoryMiB":1}`)
	<-fake.begun
	waits.until("the operation", func(m message) bool {
		return m.Method == api.MethodDidChange && strings.Contains(string(m.Params), `"kind":"start"`)
	})
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(limit):
		t.Fatal("Serve does not end")
	}
	for range 2 {
		if m := waits.until("answer", func(m message) bool { return m.Method == "" }); m.code() != rpc.ProblemStopping {
			t.Errorf("got %v", m.Error)
		}
	}
	waits.wantEnd()
}

// listener is a socket without the rest of a daemon.
type listener struct {
	net.Listener
	dir    string
	errors []error // of the first calls of Accept
}

func listenAnywhere(t testing.TB) *listener {
	t.Helper()
	l := &listener{dir: shortDir(t)}
	var err error
	if l.Listener, err = net.Listen("unix", paths.Layout{Runtime: l.dir}.Socket()); err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *listener) Accept() (net.Conn, error) {
	if len(l.errors) > 0 {
		err := l.errors[0]
		l.errors = l.errors[1:]
		return nil, &net.OpError{Op: "accept", Err: err}
	}
	return l.Listener.Accept()
}

func TestServeOutlivesAShortageOfDescriptors(t *testing.T) {
	l := listenAnywhere(t)
	l.errors = []error{syscall.EMFILE, syscall.ECONNABORTED}
	srv := rpc.NewServer(newCore(), rpc.Options{})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ctx, l) }()
	dialReady(t, paths.Layout{Runtime: l.dir}, `{}`, false)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	broken := listenAnywhere(t)
	broken.errors = []error{io.ErrClosedPipe}
	if err := rpc.NewServer(newCore(), rpc.Options{}).Serve(context.Background(), broken); err == nil {
		t.Error("a listener that is broken for good ends nothing")
	}
	broken.Close()
}

func TestLogLinesThatAreNotReadAreCounted(t *testing.T) {
	fake := newCore("demo")
	layout := serve(t, fake)
	r := dialRaw(t, layout)
	r.request(0, api.MethodInitialize, `{"initializationOptions":{"operationLog":true}}`)
	r.answer(0)
	r.send(`{"jsonrpc":"2.0","method":"initialized","params":{}}`)
	r.notified(api.MethodServerStatus)
	line := strings.Repeat("x", 2000)
	for range 5000 {
		fake.log("op", line)
	}
	r.request(1, api.MethodVersion, `{}`) // makes room as it is read
	lines := 0
	r.until("answer", func(m message) bool {
		if m.Method == api.MethodLogMessage {
			lines++
		}
		return m.Method == ""
	})
	fake.log("op", "after")
	lost := r.until("notice", func(m message) bool { return m.Method == api.MethodLogMessage })
	if lines > 1000 || !strings.Contains(string(lost.Params), "lines of output dropped") {
		t.Errorf("%d lines came, then %s", lines, lost.Params)
	}
	var p api.MessageParams
	if m := r.notified(api.MethodLogMessage); json.Unmarshal(m.Params, &p) != nil || p.Message != "after" {
		t.Errorf("%s, want the next line", m.Params)
	}
}
