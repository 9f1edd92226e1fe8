package sshconfig

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// HoldState says how a held forward is.
type HoldState string

// The states of a held forward.
const (
	Active   HoldState = "active"   // the guest listens
	Conflict HoldState = "conflict" // connected, but the guest refuses to listen there
	Lost     HoldState = "lost"     // no connection to the guest now
)

// ForwardState is one held forward and how it is.
type ForwardState struct {
	Forward Forward
	State   HoldState
	Err     error // why it is not Active; nil before the first attempt
}

// HolderOptions for NewHolder. All but OnChange are required.
type HolderOptions struct {
	Dial     DialFunc
	User     string // account in the guest
	HostKey  string // pinned key, one line of authorized_keys format
	Signer   ssh.Signer
	OnChange func([]ForwardState) // called in order, from one goroutine; must not block
}

// Holder keeps the daemon's own connection to one VM, and on it the forwards
// that must have exactly one owner: unix sockets, and those marked daemon. It
// connects while it has forwards, and again, with back-off, when the
// connection breaks. Make one when a VM runs, Close it before the VM stops.
//
// The guest decides when connections come in: what it sends is only copied, and
// the number of connections at once is bounded.
type Holder struct {
	opts   HolderOptions
	cancel context.CancelFunc
	wg     sync.WaitGroup // every goroutine of this holder
	wake   chan struct{}  // the wanted forwards changed, or Retry

	mu     sync.Mutex
	wanted []Forward
	states map[Forward]ForwardState
}

// Limits of a Holder.
const (
	connectTimeout  = time.Minute
	minBackoff      = 250 * time.Millisecond
	maxBackoff      = 30 * time.Second
	keepaliveEvery  = 15 * time.Second
	keepaliveWithin = 45 * time.Second
	maxConnections  = 128 // at once, per forward
	targetTimeout   = 10 * time.Second
)

// NewHolder starts a holder without forwards.
func NewHolder(o HolderOptions) *Holder {
	ctx, cancel := context.WithCancel(context.Background())
	h := &Holder{opts: o, cancel: cancel, wake: make(chan struct{}, 1), states: map[Forward]ForwardState{}}
	h.wg.Go(func() { h.run(ctx) })
	return h
}

// Set says which forwards to hold; those that stay are not interrupted.
// Problems: params.invalid, and then nothing changes.
func (h *Holder) Set(forwards []Forward) error {
	for _, f := range forwards {
		if err := f.Validate(); err != nil {
			return err
		}
	}
	h.mu.Lock()
	h.wanted = nil
	for _, f := range forwards {
		if !slices.Contains(h.wanted, f) {
			h.wanted = append(h.wanted, f)
		}
	}
	for f := range h.states {
		if !slices.Contains(h.wanted, f) {
			delete(h.states, f)
		}
	}
	h.mu.Unlock()
	h.Retry()
	return nil
}

// Retry tries at once what is not Active, e.g. because the guest has come up.
func (h *Holder) Retry() {
	select {
	case h.wake <- struct{}{}:
	default: // one is pending already
	}
}

// States of the forwards, in the order of Set.
func (h *Holder) States() []ForwardState {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.list()
}

func (h *Holder) list() []ForwardState {
	states := make([]ForwardState, 0, len(h.wanted))
	for _, f := range h.wanted {
		s, ok := h.states[f]
		if !ok {
			s = ForwardState{Forward: f, State: Lost}
		}
		states = append(states, s)
	}
	return states
}

// Close ends the connection and every forwarded one, and waits for all of it.
func (h *Holder) Close() {
	h.cancel()
	h.wg.Wait()
}

// forwards that are wanted now.
func (h *Holder) forwards() []Forward {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.wanted)
}

// note records states and tells OnChange if something is new. Only run's
// goroutine calls it, which is what keeps the calls in order.
func (h *Holder) note(states ...ForwardState) {
	h.mu.Lock()
	changed := false
	for _, s := range states {
		old, known := h.states[s.Forward]
		if !slices.Contains(h.wanted, s.Forward) || known && old.State == s.State && text(old.Err) == text(s.Err) {
			continue
		}
		h.states[s.Forward], changed = s, true
	}
	list := h.list()
	h.mu.Unlock()
	if changed && h.opts.OnChange != nil {
		h.opts.OnChange(list)
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func (h *Holder) noteAll(state HoldState, err error) {
	var states []ForwardState
	for _, f := range h.forwards() {
		states = append(states, ForwardState{f, state, err})
	}
	h.note(states...)
}

// run connects, serves, and connects again, until the context ends.
func (h *Holder) run(ctx context.Context) {
	backoff := minBackoff
	for ctx.Err() == nil {
		if len(h.forwards()) == 0 {
			h.pause(ctx, -1)
			continue
		}
		client, err := h.connect(ctx)
		if err == nil {
			backoff = minBackoff
			err = h.serve(ctx, client)
		}
		if ctx.Err() != nil || len(h.forwards()) == 0 {
			continue
		}
		h.noteAll(Lost, err)
		if h.pause(ctx, backoff) {
			backoff = minBackoff
		} else {
			backoff = min(2*backoff, maxBackoff)
		}
	}
}

// pause waits for d (negative: without limit) and reports whether it was woken.
func (h *Holder) pause(ctx context.Context, d time.Duration) bool {
	var expired <-chan time.Time
	if d >= 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		expired = timer.C
	}
	select {
	case <-ctx.Done():
	case <-expired:
	case <-h.wake:
		return true
	}
	return false
}

func (h *Holder) connect(ctx context.Context) (*ssh.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	return Dial(ctx, h.opts.Dial, h.opts.User, h.opts.HostKey, h.opts.Signer)
}

var errConnectionLost = errors.New("the connection to the guest ended")
