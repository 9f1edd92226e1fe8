package rpc_test

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/rpc"
	"github.com/nixvm/nixvm/rpc/frame"
)

func TestWhatIsNotJSONRPC2IsAnsweredAsSuch(t *testing.T) {
	r := dialReady(t, serve(t, newCore("demo")), `{}`, false)
	for name, tc := range map[string]struct{ body, id string }{
		"version 1.0":            {`{"jsonrpc":"1.0","id":7,"method":"nixvm/version"}`, "7"},
		"a number as version":    {`{"jsonrpc":2.0,"id":7,"method":"nixvm/version"}`, "7"},
		"no version":             {`{"id":"a","method":"nixvm/version"}`, `"a"`},
		"version null":           {`{"jsonrpc":null,"id":7,"method":"nixvm/version"}`, "7"},
		"the id null":            {`{"jsonrpc":"2.0","id":null,"method":"nixvm/version"}`, "null"},
		"both":                   {`{"jsonrpc":"1.1","id":null,"method":"nixvm/version"}`, "null"},
		"an old notification":    {`{"jsonrpc":"1.0","method":"exit"}`, "null"},
		"an answer of version 1": {`{"jsonrpc":"1.0","id":3,"result":{}}`, "3"},
	} {
		r.send(tc.body)
		m := r.until("answer", func(m message) bool { return m.Method == "" })
		if string(m.ID) != tc.id || m.code() != rpc.ProblemRequest {
			t.Errorf("%s: id %s, %+v", name, m.ID, m.Error)
		}
	}
	r.request(1, api.MethodVersion, `{}`) // it goes on
	r.answer(1)
}

func TestAMessageThatIsNotFinishedEndsItsSession(t *testing.T) {
	layout := serveWith(t, newCore("demo"), rpc.Options{MessageTimeout: 50 * time.Millisecond})
	for name, begun := range map[string]string{
		"in the header": "Content-Le", "after the header": "Content-Length: 10\r\n\r\n",
		"in the body":        "Content-Length: 10\r\n\r\n{",
		"in one that counts": fmt.Sprintf("Content-Length: %d\r\n\r\n{", frame.MaxMessage),
	} {
		r := dialReady(t, layout, `{}`, false)
		r.bytes([]byte(begun))
		m := r.until("answer", func(m message) bool { return m.Method == "" })
		if m.code() != rpc.ProblemParse || !strings.Contains(m.Error.Message, "begun") {
			t.Errorf("%s: %+v", name, m.Error)
		}
		r.wantEnd()
	}
	// One that says nothing at all may stay.
	r := dialReady(t, layout, `{}`, false)
	slow := dialReady(t, layout, `{}`, false)
	slow.bytes([]byte("C"))
	slow.until("answer", func(m message) bool { return m.Method == "" }) // its time is over
	r.request(1, api.MethodVersion, `{}`)
	r.answer(1)
}

// TestHalfSentMessagesTakeBoundedMemory: a hundred clients send the most of a
// message of the longest kind, and then nothing.
func TestHalfSentMessagesTakeBoundedMemory(t *testing.T) {
	const clients, bound = 100, 64 << 20
	layout := serve(t, newCore("demo"))
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	chunk := []byte(strings.Repeat("x", 64<<10))
	var all []*raw
	var sending sync.WaitGroup
	for range clients {
		r := dialReady(t, layout, `{}`, false)
		all = append(all, r)
		sending.Go(func() {
			if _, err := fmt.Fprintf(r, "Content-Length: %d\r\n\r\n", frame.MaxMessage); err != nil {
				return
			}
			for sent := 0; sent < frame.MaxMessage-len(chunk); {
				_ = r.SetWriteDeadline(time.Now().Add(200 * time.Millisecond)) // it is not read
				n, err := r.Write(chunk)
				if sent += n; err != nil {
					return
				}
			}
		})
	}
	sending.Wait()
	if now := heap(); now > before+bound {
		t.Errorf("%d clients take %d MiB", clients, (now-before)>>20)
	}
	other := dialReady(t, layout, `{}`, false)
	other.request(1, api.MethodVersion, `{}`)
	other.answer(1)
	for _, r := range all {
		r.Close()
	}
	long := strings.Repeat("y", frame.MaxMessage/2) // room is given back
	other.request(2, api.MethodMachineGet, `{"name":"`+long+`"}`)
	if m := other.answer(2); m.code() != problem.MachineNameInvalid {
		t.Errorf("%+v", m.Error)
	}
}

// TestRoomIsGivenBack: more long messages than fit at once, one after another and
// of each kind that ends in another way.
func TestRoomIsGivenBack(t *testing.T) {
	const room = 512 << 10
	r := dialReady(t, serveWith(t, newCore("demo"), rpc.Options{MessageRoom: room}), `{}`, false)
	pad := strings.Repeat("z", room/4)
	for i := range 5 { // more than the room of each
		r.send(`{"jsonrpc":"2.0","method":"$/x","params":"` + pad + `"}`)
		r.send(`{"jsonrpc":"1.0","id":1,"method":"` + pad + `"}`)
		r.until("answer", func(m message) bool { return m.Method == "" })
		r.send(pad)
		r.until("answer", func(m message) bool { return m.Method == "" })
		r.request(10+i, api.MethodSSHEndpoint, `{"host":"`+pad+`"}`)
		r.answer(10 + i)
		r.request(20+i, api.MethodVMStart, `{"name":"`+pad+`"}`)
		r.answer(20 + i)
	}
}

// TestAnOperationTakesNoRoom: requests that wait for the end of an operation keep no
// other long message out, however long they are themselves.
func TestAnOperationTakesNoRoom(t *testing.T) {
	const room = 256 << 10
	fake := newCore("demo", "other")
	layout := serveWith(t, fake, rpc.Options{MessageRoom: room, MessageTimeout: 5 * time.Second})
	pad := strings.Repeat(" ", room/2)
	waits := dialReady(t, layout, `{}`, false)
	waits.request(1, api.MethodVMStart, pad+`{"name":"demo","workDoneToken":1}`)
	waits.notified(api.MethodProgress)
	waits.request(2, api.MethodOperationSubscribe, pad+`{"id":"op1","workDoneToken":2}`)
	waits.until("progress of the second", func(m message) bool { return strings.Contains(string(m.Params), `"token":2`) })
	other := dialReady(t, layout, `{}`, false)
	other.request(1, api.MethodMachineGet, pad+pad[:room/4]+`{"name":"demo"}`)
	if m := other.answer(1); m.Error != nil {
		t.Errorf("%+v", m.Error)
	}
	fake.end("op1", api.OpSucceeded, nil)
}
