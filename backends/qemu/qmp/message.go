package qmp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// MaxLine is the longest message, in bytes, that is read. The largest honest
// one (query-named-block-nodes with many snapshots) is far below; a longer one
// ends the connection.
const MaxLine = 8 << 20

// ErrProtocol is wrapped by errors about messages that are no QMP.
var ErrProtocol = errors.New("not a QMP message")

// Error is a command that was refused by QEMU or by the guest agent.
type Error struct {
	Class string `json:"class"` // "GenericError", "CommandNotFound", ...
	Desc  string `json:"desc"`  // for people; its text changes between versions
}

func (e *Error) Error() string { return e.Desc }

// Event is something that happened in QEMU.
type Event struct {
	Name string // "SHUTDOWN", "STOP", ...
	Data json.RawMessage
	Time time.Time
}

// Decode unpacks the event's data into v.
func (e Event) Decode(v any) error {
	if len(e.Data) == 0 {
		return nil
	}
	if err := json.Unmarshal(e.Data, v); err != nil {
		return fmt.Errorf("event %s: %w: %w", e.Name, ErrProtocol, err)
	}
	return nil
}

// message is any line that QEMU or the agent sends; exactly one of greeting,
// event, ret and err says which kind it is.
type message struct {
	greeting json.RawMessage
	event    *Event
	ret      json.RawMessage
	err      *Error
	id       uint64
	hasID    bool
}

// wire is the JSON of message, after "QEMU Machine Protocol Specification"
// (docs/interop/qmp-spec.txt).
type wire struct {
	QMP       json.RawMessage `json:"QMP"`
	Event     string          `json:"event"`
	Data      json.RawMessage `json:"data"`
	Timestamp *struct {
		Seconds      int64 `json:"seconds"`
		Microseconds int64 `json:"microseconds"`
	} `json:"timestamp"`
	Return json.RawMessage `json:"return"`
	Error  *Error          `json:"error"`
	ID     json.RawMessage `json:"id"`
}

// decode reads one line. It never panics, for any bytes.
func decode(line []byte) (message, error) {
	var w wire
	if err := json.Unmarshal(bytes.TrimSpace(line), &w); err != nil {
		return message{}, fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	m := message{greeting: w.QMP, ret: w.Return, err: w.Error}
	if len(w.ID) > 0 {
		m.hasID = json.Unmarshal(w.ID, &m.id) == nil
	}
	if w.Event != "" {
		m.event = &Event{Name: w.Event, Data: w.Data}
		if w.Timestamp != nil && w.Timestamp.Seconds > 0 {
			m.event.Time = time.UnixMicro(w.Timestamp.Seconds*1e6 + w.Timestamp.Microseconds%1e6)
		}
	}
	kinds := 0
	for _, is := range []bool{m.greeting != nil, m.event != nil, m.ret != nil, m.err != nil} {
		if is {
			kinds++
		}
	}
	if kinds != 1 {
		return message{}, fmt.Errorf("%w: %d kinds in one message", ErrProtocol, kinds)
	}
	return m, nil
}

// request is what we send.
type request struct {
	Execute   string  `json:"execute"`
	Arguments any     `json:"arguments,omitempty"`
	ID        *uint64 `json:"id,omitempty"`
}

func encode(r request) ([]byte, error) {
	b, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.Execute, err)
	}
	return append(b, '\n'), nil
}

// unpack puts the value of a reply into out, which may be nil.
func unpack(command string, ret json.RawMessage, out any) error {
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(ret, out); err != nil {
		return fmt.Errorf("reply to %s: %w: %w", command, ErrProtocol, err)
	}
	return nil
}
