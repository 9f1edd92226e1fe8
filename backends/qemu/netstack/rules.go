package netstack

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// outgoing are the connections and flows of the guest that are open, each with what
// ends it. When the policy changes, those that it does not allow any more are ended.
type outgoing struct {
	mu   sync.Mutex
	next int
	all  map[int]flow
}

type flow struct {
	id  stack.TransportEndpointID
	end func()
}

// add notes a flow until remove is called.
func (o *outgoing) add(id stack.TransportEndpointID, end func()) (remove func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.all == nil {
		o.all = map[int]flow{}
	}
	number := o.next
	o.next++
	o.all[number] = flow{id, end}
	return func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		delete(o.all, number)
	}
}

// cut ends the flows that are refused.
func (o *outgoing) cut(refused func(stack.TransportEndpointID) bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, f := range o.all {
		if refused(f.id) {
			f.end()
		}
	}
}

// change puts another policy into force, also for what is open.
func (n *network) change(p Policy) {
	n.policy.Store(&p)
	n.flows.cut(func(id stack.TransportEndpointID) bool {
		_, ok := n.target(id)
		return !ok
	})
}

// ChangePolicy asks the process behind conn, a connection to its [Ends].Usage, to take
// another policy, and returns when that is in force. [ErrOlder] is the error of a
// process of an earlier version, whose policy stays.
func ChangePolicy(conn net.Conn, p Policy) error {
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if _, err := conn.Write(append(text, '\n')); err != nil {
		return fmt.Errorf("%w: %w", ErrOlder, err)
	}
	d := json.NewDecoder(io.LimitReader(conn, maxPolicy))
	var usage json.RawMessage // it says that in any case, and first
	if err := d.Decode(&usage); err != nil {
		return fmt.Errorf("the network process does not answer: %w", err)
	}
	var a changed
	if err := d.Decode(&a); err != nil {
		return fmt.Errorf("%w: %w", ErrOlder, err)
	}
	if a.Problem != "" {
		return errors.New(a.Problem)
	}
	return nil
}

// ErrOlder is a network process that keeps the policy that it was started with.
var ErrOlder = errors.New("the network process does not take another policy")

// changed is the answer to a policy.
type changed struct {
	Problem string `json:"problem,omitempty"` // why it is not taken
}

// takePolicy serves a client that has more to say than its presence: another policy.
func (n *network) takePolicy(conn net.Conn) {
	p, err := ReadPolicy(conn)
	if errors.Is(err, io.EOF) {
		return // it wanted to know the usage
	}
	a := changed{}
	if err != nil {
		a.Problem = err.Error()
	} else {
		n.change(p)
		n.log.log.Info("the policy has changed", "isolated", p.Isolation != nil)
	}
	_ = json.NewEncoder(conn).Encode(a) // who is gone asks again
}
