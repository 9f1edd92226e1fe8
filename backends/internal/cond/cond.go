// Package cond is a condition variable whose waits can be cancelled: sync.Cond with a
// context.
package cond

import (
	"context"
	"sync"
)

// Cond lets goroutines wait for a change of the state that a mutex guards.
type Cond struct {
	mu   sync.Locker
	over <-chan struct{} // closed when there will be no more changes
	err  error           // what waits return then
	next chan struct{}   // closed, and made anew, at every change; guarded by mu
}

// New returns a Cond for the state that mu guards. When over is closed, all waits
// end with err.
func New(mu sync.Locker, over <-chan struct{}, err error) *Cond {
	return &Cond{mu: mu, over: over, err: err, next: make(chan struct{})}
}

// Broadcast makes all that wait look at the state again. mu is held.
func (c *Cond) Broadcast() {
	close(c.next)
	c.next = make(chan struct{})
}

// Until waits until holds, which is called with mu held, returns true. It returns the
// cause of ctx when that ends before, or the error for when there will be no more
// changes. A state that holds already is nil in both cases.
func (c *Cond) Until(ctx context.Context, holds func() bool) error {
	for {
		c.mu.Lock()
		ok, next := holds(), c.next
		c.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-next:
		case <-c.over:
			return c.err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
