package ctxlock

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"
)

var errCause = errors.New("cause")

func TestAWaitForALockIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m Mutex
		if err := m.Lock(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		got := make(chan error, 1)
		go func() { got <- m.Lock(ctx) }()
		synctest.Wait()
		cancel(errCause)
		if err := <-got; !errors.Is(err, errCause) {
			t.Errorf("%v", err)
		}
		go func() { got <- m.Lock(t.Context()) }()
		synctest.Wait()
		select {
		case err := <-got:
			t.Errorf("two hold it: %v", err)
		default:
		}
		m.Unlock()
		if err := <-got; err != nil {
			t.Errorf("the next one: %v", err)
		}
	})
}

func TestAnUnlockTooManyPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("it does not")
		}
	}()
	new(Mutex).Unlock()
}

// In any order, a name is held by one at a time, names do not wait for each
// other, and nothing is left in memory.
func TestLocksByName(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c"}), 1, 30).Draw(t, "names")
		given := rapid.SliceOfN(rapid.Bool(), len(names), len(names)).Draw(t, "given up")
		var b ByName
		var mu sync.Mutex
		held := map[string]int{}
		var work sync.WaitGroup
		for n, name := range names {
			ctx, cancel := context.WithCancel(context.Background())
			if given[n] {
				cancel()
			}
			work.Go(func() {
				defer cancel()
				unlock, err := b.Lock(ctx, name)
				if err != nil {
					return
				}
				mu.Lock()
				held[name]++
				if held[name] > 1 {
					t.Errorf("%s is held %d times", name, held[name])
				}
				mu.Unlock()
				mu.Lock()
				held[name]--
				mu.Unlock()
				unlock()
			})
		}
		work.Wait()
		if len(b.locks) != 0 {
			t.Fatalf("%d locks are left", len(b.locks))
		}
	})
}

func TestNamesDoNotWaitForEachOther(t *testing.T) {
	var b ByName
	one, err := b.Lock(t.Context(), "one")
	if err != nil {
		t.Fatal(err)
	}
	two, err := b.Lock(t.Context(), "two")
	if err != nil {
		t.Fatal(err)
	}
	one()
	two()
}
