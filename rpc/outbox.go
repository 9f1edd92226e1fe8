package rpc

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/rpc/frame"
)

// The bounds of what waits for one client, in bytes and messages.
const (
	softBytes    = 1 << 20 // above it nothing more is read from the client
	softMessages = 1024    // the same
	hardBytes    = 32 << 20
	hardMessages = 8192
	maxLogs      = 256 // log lines; more are dropped and counted
	batchBytes   = 64 << 10
	nowBytes     = 16 << 10 // longer messages are left to the writer
)

var errTooSlow = errors.New("the client does not read its messages")

// outbox is everything on its way to one client. Putting something in never
// blocks: one goroutine per client writes. What a later message makes worthless
// is replaced while it waits: an older report of the same progress, an older
// state of the same machine. So a client that does not read costs a bounded
// amount of memory and does not delay the others.
//
// Replacing never crosses an ordinary message: a state that is newer than an
// answer is not sent before it, or the client would keep the older one.
type outbox struct {
	mu      sync.Mutex
	changed *sync.Cond // of anything below
	queue   []*parcel
	bytes   int
	latest  map[string]*parcel // what may be replaced, by the key of putLatest
	delta   *delta             // the waiting didChange
	logs    int
	lost    int   // log lines dropped since the last one that was kept
	writing bool  // the writer has messages that it took
	ending  bool  // nothing more is taken in
	err     error // why the client was dropped

	conn io.WriteCloser
	done chan struct{} // closed when the writer has ended
}

// parcel is one message.
type parcel struct {
	pieces [][]byte // body; shared slices are fine, they are read only
	size   int
	key    string // of putLatest
	delta  *delta
	log    bool
	framed bool // the header, or what is left of it, is in pieces
}

// delta is a didChange that still grows.
type delta struct {
	machines map[string]json.RawMessage // nil = removed
	names    []string                   // in the order of their first change
	ops      map[string]json.RawMessage
	opIDs    []string
}

func newOutbox(conn io.WriteCloser) *outbox {
	o := &outbox{latest: map[string]*parcel{}, conn: conn, done: make(chan struct{})}
	o.changed = sync.NewCond(&o.mu)
	return o
}

func sizeOf(pieces [][]byte) int {
	n := 0
	for _, p := range pieces {
		n += len(p)
	}
	return n
}

// put appends a message. What waits before it stays as it is.
func (o *outbox) put(pieces ...[]byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.delta = nil
	clear(o.latest)
	p := &parcel{pieces: pieces, size: sizeOf(pieces)}
	if !o.sendNow(p) {
		o.add(p)
	}
}

// sendNow writes a short message without the writer, if nothing is on its way
// and the socket takes it without waiting: waking a goroutine for an answer takes
// longer than all else that the daemon does for it. It reports whether all of it
// is written; what is not stays in p.
func (o *outbox) sendNow(p *parcel) bool {
	if o.writing || o.ending || len(o.queue) > 0 || p.size > nowBytes {
		return false
	}
	message := frame.AppendHeader(make([]byte, 0, p.size+32), p.size)
	for _, piece := range p.pieces {
		message = append(message, piece...)
	}
	rest := message[writeNow(o.conn, message):]
	p.pieces, p.size, p.framed = [][]byte{rest}, len(rest), true
	return len(rest) == 0
}

// putLatest appends a message of which only the newest counts, or replaces the
// one of the same key that waits: a report of progress, the daemon's status.
func (o *outbox) putLatest(key string, body []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if p := o.latest[key]; p != nil {
		o.bytes += len(body) - p.size
		p.pieces, p.size = [][]byte{body}, len(body)
		return
	}
	p := &parcel{pieces: [][]byte{body}, size: len(body), key: key}
	if o.add(p) {
		o.latest[key] = p
	}
}

// putLog appends a log line, or counts it as lost when too many wait.
func (o *outbox) putLog(body []byte, notice func(lost int) []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.logs >= maxLogs {
		o.lost++
		return
	}
	if o.lost > 0 {
		n := notice(o.lost)
		o.lost = 0
		o.logs++
		o.add(&parcel{pieces: [][]byte{n}, size: len(n), log: true})
	}
	o.logs++
	o.add(&parcel{pieces: [][]byte{body}, size: len(body), log: true})
}

// putMachine tells the new state of a machine; nil = it is gone.
func (o *outbox) putMachine(name string, body json.RawMessage) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if d := o.waitingDelta(); d != nil {
		d.machine(name, body)
	}
}

// putOperation tells the new state of an operation.
func (o *outbox) putOperation(id string, body json.RawMessage) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if d := o.waitingDelta(); d != nil {
		d.operation(id, body)
		if len(d.opIDs) > hardMessages {
			o.fail(errTooSlow)
		}
	}
}

func (o *outbox) waitingDelta() *delta {
	if o.delta == nil {
		d := &delta{machines: map[string]json.RawMessage{}, ops: map[string]json.RawMessage{}}
		if !o.add(&parcel{delta: d}) {
			return nil
		}
		o.delta = d
	}
	return o.delta
}

// add is put with the lock held. It reports whether the parcel was taken.
func (o *outbox) add(p *parcel) bool {
	if o.ending {
		return false
	}
	if o.bytes+p.size > hardBytes || len(o.queue) >= hardMessages {
		o.fail(errTooSlow)
		return false
	}
	o.queue = append(o.queue, p)
	o.bytes += p.size
	o.changed.Broadcast()
	return true
}

// fail drops the client; the lock is held. Closing the connection ends a write
// that is not read, and the reader.
func (o *outbox) fail(err error) {
	o.ending = true
	if o.err == nil {
		o.err = err
	}
	o.queue, o.bytes, o.delta = nil, 0, nil
	clear(o.latest)
	o.conn.Close()
	o.changed.Broadcast()
}

// abort ends the writer without sending what waits.
func (o *outbox) abort(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fail(err)
}

// finish takes in nothing more, lets the writer send what waits, and returns
// when it has, or after the limit.
func (o *outbox) finish(limit time.Duration) {
	o.mu.Lock()
	o.ending = true
	o.changed.Broadcast()
	o.mu.Unlock()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-o.done:
	case <-timer.C:
	}
}

// awaitRoom blocks while so much waits that reading more requests would only
// add to it.
func (o *outbox) awaitRoom() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for (o.bytes > softBytes || len(o.queue) > softMessages) && !o.ending {
		o.changed.Wait()
	}
}

// take returns the next messages, framed; nil when there will be none.
func (o *outbox) take() net.Buffers {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.writing = false
	for len(o.queue) == 0 && !o.ending {
		o.changed.Wait()
	}
	var batch net.Buffers
	size, n := 0, 0
	for ; n < len(o.queue) && size < batchBytes; n++ {
		p := o.queue[n]
		o.queue[n] = nil
		o.bytes -= p.size
		o.forget(p)
		size += sizeOf(p.pieces)
		if !p.framed {
			batch = append(batch, frame.AppendHeader(nil, sizeOf(p.pieces)))
		}
		batch = append(batch, p.pieces...)
	}
	o.queue = o.queue[n:]
	if len(o.queue) == 0 {
		o.queue = nil // let the array go after a burst
	}
	o.writing = n > 0
	o.changed.Broadcast()
	return batch
}

// forget ends the time in which p could be replaced.
func (o *outbox) forget(p *parcel) {
	if p.key != "" && o.latest[p.key] == p {
		delete(o.latest, p.key)
	}
	if p.log {
		o.logs--
	}
	if p.delta != nil {
		if o.delta == p.delta {
			o.delta = nil
		}
		p.pieces = p.delta.message()
	}
}

// run writes until finish or abort. A write that takes longer than limit closes
// the connection: the client is gone.
func (o *outbox) run(limit time.Duration) error {
	defer close(o.done)
	for {
		batch := o.take()
		if batch == nil {
			o.mu.Lock()
			defer o.mu.Unlock()
			return o.err
		}
		watchdog := time.AfterFunc(limit, func() { o.conn.Close() })
		_, err := batch.WriteTo(o.conn)
		if !watchdog.Stop() && err != nil {
			err = errTooSlow
		}
		if err != nil {
			o.abort(err)
			return err
		}
	}
}

func (d *delta) machine(name string, body json.RawMessage) {
	if _, known := d.machines[name]; !known {
		d.names = append(d.names, name)
	}
	d.machines[name] = body
}

func (d *delta) operation(id string, body json.RawMessage) {
	if _, known := d.ops[id]; !known {
		d.opIDs = append(d.opIDs, id)
	}
	d.ops[id] = body
}

// message is the notification, in pieces.
func (d *delta) message() [][]byte {
	var changed, removed, ops [][]byte
	for _, name := range d.names {
		if body := d.machines[name]; body != nil {
			changed = append(changed, body)
		} else {
			quoted, _ := json.Marshal(name) // a string always marshals
			removed = append(removed, quoted)
		}
	}
	for _, id := range d.opIDs {
		ops = append(ops, d.ops[id])
	}
	pieces := [][]byte{[]byte(`{"jsonrpc":"2.0","method":"` + api.MethodDidChange + `","params":{`)}
	for _, field := range []struct {
		name  string
		items [][]byte
	}{{"changed", changed}, {"removed", removed}, {"operations", ops}} {
		if len(field.items) == 0 {
			continue
		}
		if len(pieces) > 1 {
			pieces = append(pieces, comma)
		}
		pieces = append(pieces, []byte(`"`+field.name+`":[`))
		pieces = append(pieces, separated(field.items)...)
		pieces = append(pieces, []byte(`]`))
	}
	return append(pieces, []byte(`}}`))
}

var comma = []byte(",")

func separated(items [][]byte) [][]byte {
	out := make([][]byte, 0, 2*len(items))
	for i, item := range items {
		if i > 0 {
			out = append(out, comma)
		}
		out = append(out, item)
	}
	return out
}
