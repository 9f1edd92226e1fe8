package cond

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
)

var errOver, errCause = errors.New("over"), errors.New("cause")

func TestEveryWaitSeesTheChangeItWaitsFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		state := 0
		c := New(&mu, nil, errOver)
		var waiting sync.WaitGroup
		for n := range 10 {
			waiting.Go(func() {
				if err := c.Until(t.Context(), func() bool { return state > n }); err != nil {
					t.Errorf("%d: %v", n, err)
				}
			})
		}
		for range 10 {
			mu.Lock()
			state++
			c.Broadcast()
			mu.Unlock()
		}
		waiting.Wait() // a wait that missed the last change is a deadlock, which synctest reports
	})
}

func TestAWaitIsGivenUp(t *testing.T) {
	never := func() bool { return false }
	synctest.Test(t, func(t *testing.T) {
		over := make(chan struct{})
		c := New(&sync.Mutex{}, over, errOver)
		ctx, cancel := context.WithCancelCause(t.Context())
		got := make(chan error, 1)
		go func() { got <- c.Until(ctx, never) }()
		synctest.Wait()
		cancel(errCause)
		if err := <-got; !errors.Is(err, errCause) {
			t.Errorf("after its context: %v", err)
		}
		go func() { got <- c.Until(t.Context(), never) }()
		synctest.Wait()
		close(over)
		if err := <-got; !errors.Is(err, errOver) {
			t.Errorf("after the last change: %v", err)
		}
		if err := c.Until(ctx, func() bool { return true }); err != nil {
			t.Errorf("for what holds: %v", err)
		}
	})
}
