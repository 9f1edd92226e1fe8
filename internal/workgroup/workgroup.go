// Package workgroup owns goroutines: it counts those that run, refuses new ones
// once it is closed, and waits for the rest no longer than it is allowed to.
//
// A sync.WaitGroup does neither of the last two: Add after Wait has returned is
// a race that it cannot report, and Wait cannot be given up.
package workgroup

import (
	"context"
	"fmt"
	"sync"
)

// Group counts work. The zero value is ready to use; it must not be copied.
type Group struct {
	mu     sync.Mutex
	n      int
	closed bool
	idle   chan struct{} // closed when the group is closed and n is 0; made by Close
}

// Add counts one piece of work, for which Done must be called. It reports false,
// and counts nothing, when the group is closed. The check and the count are one
// step under the lock that Close takes.
func (g *Group) Add() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.n++
	return true
}

// Done ends one piece of work that Add has counted.
func (g *Group) Done() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.n == 0 {
		panic("workgroup: Done without Add")
	}
	g.n--
	if g.closed && g.n == 0 {
		close(g.idle)
	}
}

// Go runs fn in a goroutine that the group waits for. It reports false, and does
// not call fn, when the group is closed.
func (g *Group) Go(fn func()) bool {
	if !g.Add() {
		return false
	}
	go func() {
		defer g.Done()
		fn()
	}()
	return true
}

// Close refuses more work and waits until what runs has ended, or ctx is done:
// then the error says how much still runs. It may be called again, to wait on.
func (g *Group) Close(ctx context.Context) error {
	g.mu.Lock()
	if !g.closed {
		g.closed, g.idle = true, make(chan struct{})
		if g.n == 0 {
			close(g.idle)
		}
	}
	idle := g.idle
	g.mu.Unlock()
	select {
	case <-idle:
		return nil
	default:
	}
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		g.mu.Lock()
		defer g.mu.Unlock()
		return fmt.Errorf("%d still running: %w", g.n, context.Cause(ctx))
	}
}
