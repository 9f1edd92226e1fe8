package rpc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/vm"
)

// hub keeps what every client reads, marshalled: one piece of JSON per machine
// and per running or unresolved operation, made once for each change, for any client and however
// often. It hands each change to every session without waiting for any.
//
// Lock order: hub.mu, then request.mu or follower.mu, then outbox.mu. The core is
// never called with hub.mu held: it tells its changes with locks of its own.
type hub struct {
	mu        sync.Mutex
	loaded    bool
	early     []vm.Change // what came before the first state was loaded
	machines  map[string]liveMachine
	names     []string                 // sorted
	whole     []byte                   // cached "machines":[...] of machine/list; nil = stale
	troubled  map[string]string        // what is wrong, by machine
	backends  []api.Backend            // what the actions of machines depend on
	offered   json.RawMessage          // backends as they were told last
	status    api.ServerStatusParams   // as it was told last
	live      map[string]liveOperation // those that run or are unresolved
	order     []string                 // ids of live, as they began
	runs      int                      // how many of them run
	ended     recent                   // operations
	followers map[string][]*follower   // by operation
	sessions  map[*session]struct{}    // those that want notifications
	poke      func()                   // the daemon's status may have changed
}

// liveMachine is one as it was told last.
type liveMachine struct {
	vm   vm.VM
	body json.RawMessage
}

// liveOperation is one as it was told last.
type liveOperation struct {
	op   api.Operation
	body json.RawMessage
}

// rememberEnded is how many ended operations are known by id, and how many that a
// client was told of. More than any core remembers, so that one that the core knows as ended and the hub does not
// know is one whose end is still on its way to the hub.
const rememberEnded = 4096

func newHub(poke func(), list []api.Backend) *hub {
	return &hub{
		backends: list, offered: marshal(backendsOf(list)), machines: map[string]liveMachine{}, troubled: map[string]string{}, live: map[string]liveOperation{}, ended: recent{limit: rememberEnded},
		followers: map[string][]*follower{}, sessions: map[*session]struct{}{}, poke: poke,
	}
}

// load takes over the state from before the watch. Changes that came meanwhile
// are applied afterwards, in order: the last one of each machine is its newest.
func (h *hub) load(list []vm.VM, ops []api.Operation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, v := range list {
		h.setMachine(v.Name, &v)
	}
	for _, op := range ops {
		h.setOperation(op)
	}
	h.loaded = true
	for _, c := range h.early {
		h.apply(c)
	}
	h.early = nil
	h.status = h.statusNow()
}

// change is the function that watches the core.
func (h *hub) change(c vm.Change) {
	h.mu.Lock()
	if h.loaded {
		h.apply(c)
	} else {
		h.early = append(h.early, c)
	}
	h.mu.Unlock()
	if c.Log == nil {
		h.poke()
	}
}

func (h *hub) apply(c vm.Change) {
	switch {
	case c.VM != nil:
		h.publishMachine(c.VM.Name, c.VM)
	case c.Removed != "":
		h.publishMachine(c.Removed, nil)
	case c.Operation != nil:
		h.publishOperation(*c.Operation)
	case c.Log != nil:
		h.publishLog(*c.Log)
	case c.Notice != nil:
		for s := range h.sessions {
			s.srv.firstTold(c.Notice.ID)
			s.tellNotice(*c.Notice)
		}
	case c.Backend != "": // refreshStatus asks for the capabilities, as after every change
	}
}

func (h *hub) publishMachine(name string, v *vm.VM) {
	if !h.setMachine(name, v) {
		return // progress of an operation changes nothing of the machine
	}
	for s := range h.sessions {
		s.out.putMachine(name, h.machines[name].body)
	}
}

// setMachine takes the new state, nil for a machine that is gone. It reports
// whether anything is new.
func (h *hub) setMachine(name string, v *vm.VM) bool {
	old, known := h.machines[name]
	var body json.RawMessage
	if v != nil {
		body = marshal(machineOf(*v, h.backends))
	}
	if bytes.Equal(old.body, body) {
		return false
	}
	h.whole = nil
	delete(h.troubled, name)
	at, _ := slices.BinarySearch(h.names, name)
	switch {
	case v == nil:
		delete(h.machines, name)
		h.names = slices.Delete(h.names, at, at+1)
		return true
	case !known:
		h.names = slices.Insert(h.names, at, name)
	}
	switch {
	case v.Problem != nil:
		h.troubled[name] = v.Problem.Message
	case len(v.Unresolved) > 0:
		h.troubled[name] = "an operation needs a decision (nixvmd operations)"
	}
	h.machines[name] = liveMachine{*v, body}
	return true
}

func (h *hub) publishOperation(op api.Operation) {
	body := h.setOperation(op)
	for s := range h.sessions {
		s.out.putOperation(op.ID, body)
		if op.State == api.OpInterrupted {
			s.tellRecovered(op)
		}
	}
	for _, f := range h.followers[op.ID] {
		f.update(op)
	}
	if op.State != api.OpRunning {
		delete(h.followers, op.ID)
	}
}

func (h *hub) setOperation(op api.Operation) json.RawMessage {
	body := marshal(operationOf(op))
	before, known := h.live[op.ID]
	if known && before.op.State == api.OpRunning {
		h.runs--
	}
	switch {
	case op.State == api.OpRunning || op.State == api.OpUnresolved:
		if !known {
			h.order = append(h.order, op.ID)
		}
		if op.State == api.OpRunning {
			h.runs++
		}
		h.live[op.ID] = liveOperation{op, body}
		return body
	case known:
		delete(h.live, op.ID)
		h.order = slices.DeleteFunc(h.order, func(id string) bool { return id == op.ID })
	}
	h.ended.add(op.ID)
	return body
}

func (h *hub) publishLog(l api.LogLine) {
	var body []byte
	for s := range h.sessions {
		if !s.wantsLog {
			continue
		}
		if body == nil {
			body = notification(api.MethodLogMessage, logMessage(l))
		}
		s.out.putLog(body, lostLines)
	}
}

// sendList answers machine/list.
func (h *hub) sendList(r *request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r.sendResult(append(joined{[]byte("{")}, h.state()...))
}

// sendMachine answers with one machine and reports whether it exists.
func (h *hub) sendMachine(r *request, m machineResult) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	machine, ok := h.machines[m.name]
	if ok {
		r.sendResult(joined{m.before, machine.body, []byte("}")})
	}
	return ok
}

// state is "machines":[...],"operations":[...]} in pieces; the lock is held.
func (h *hub) state() joined {
	if h.whole == nil {
		h.whole = h.joinMachines()
	}
	ops := []byte(`,"operations":[`)
	for i, id := range h.order {
		if i > 0 {
			ops = append(ops, ',')
		}
		ops = append(ops, h.live[id].body...)
	}
	return joined{h.whole, append(ops, "]}"...)}
}

func (h *hub) joinMachines() []byte {
	size := 64
	for _, name := range h.names {
		size += len(h.machines[name].body) + 1
	}
	b := append(make([]byte, 0, size), `"machines":[`...)
	for i, name := range h.names {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, h.machines[name].body...)
	}
	return append(b, ']')
}

// statusNow is healthy when nothing needs a person; the lock is held.
func (h *hub) statusNow() api.ServerStatusParams {
	st := api.ServerStatusParams{Health: api.HealthOK, Quiescent: h.runs == 0}
	if st.Message = backendProblem(h.backends); st.Message != "" {
		st.Health = api.HealthWarning
		return st
	}
	first := ""
	for name := range h.troubled {
		if first == "" || name < first {
			first = name
		}
	}
	if first != "" {
		st.Health, st.Message = api.HealthWarning, fmt.Sprintf("%s: %s", first, plainLine(h.troubled[first]))
	}
	if more := len(h.troubled) - 1; more > 0 {
		st.Message += fmt.Sprintf(" (and %s more)", plural(more, "machine"))
	}
	return st
}

// refreshStatus tells every session the status if it is another one, the backends if they
// are other ones, and the machines whose actions differ because of that.
func (h *hub) refreshStatus(list []api.Backend) {
	h.mu.Lock()
	defer h.mu.Unlock()
	same := slices.EqualFunc(h.backends, list, func(a, b api.Backend) bool {
		return a.Name == b.Name && a.Type == b.Type && a.Default == b.Default && a.Capabilities == b.Capabilities
	})
	h.backends = list
	if !same {
		for _, name := range h.names {
			h.publishMachine(name, new(h.machines[name].vm))
		}
	}
	if offered := marshal(backendsOf(list)); !bytes.Equal(h.offered, offered) {
		h.offered = offered
		for s := range h.sessions {
			s.out.putLatest("backends", notification(api.MethodDidChange, map[string]json.RawMessage{"backends": offered}))
		}
	}
	now := h.statusNow()
	if now == h.status {
		return
	}
	h.status = now
	for s := range h.sessions {
		s.out.putLatest(api.MethodServerStatus, notification(api.MethodServerStatus, now))
	}
}

// join sends the full state and the status, and from then on every change.
func (h *hub) join(s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	full := joined{[]byte(`{"jsonrpc":"2.0","method":"` + api.MethodDidChange + `","params":{"full":true,"backends":`), h.offered, []byte(",")}
	s.out.put(append(append(full, h.state()...), []byte("}"))...)
	s.out.putLatest(api.MethodServerStatus, notification(api.MethodServerStatus, h.status))
	h.sessions[s] = struct{}{}
}

func (h *hub) leave(s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.sessions, s)
}

// joined reports whether a session gets notifications.
func (h *hub) joined(s *session) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, ok := h.sessions[s]
	return ok
}

// follow gives f the operation as it is and all that comes. It reports whether
// the operation is over for the hub: then nothing will come.
func (h *hub) follow(op api.Operation, f *follower) (ended bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended.has(op.ID) {
		return true
	}
	if now, known := h.live[op.ID]; known {
		op = now.op // it has moved since the request looked at it
	}
	switch op.State {
	case api.OpRunning:
		f.update(op)
	case api.OpUnresolved:
		return true // nothing comes until it is resolved, and that is another operation
	}
	h.followers[op.ID] = append(h.followers[op.ID], f)
	return false
}

func (h *hub) unfollow(op string, f *follower) {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := slices.DeleteFunc(h.followers[op], func(g *follower) bool { return g == f })
	if len(list) == 0 {
		delete(h.followers, op)
		return
	}
	h.followers[op] = list
}

// marshal is for our own types, which always marshal.
func marshal(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// joined is JSON in pieces that is sent as it is.
type joined [][]byte

// notification frames params into a message body.
func notification(method string, params any) []byte {
	b := append([]byte(`{"jsonrpc":"2.0","method":`), marshal(method)...)
	b = append(b, `,"params":`...)
	b = append(b, marshal(params)...)
	return append(b, '}')
}
