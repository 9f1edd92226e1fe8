package workgroup

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAClosedGroupRefusesWork(t *testing.T) {
	var g Group
	if err := g.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if g.Add() || g.Go(func() { t.Error("it ran") }) {
		t.Error("work was added to a closed group")
	}
}

func TestCloseStopsWaitingWithItsContext(t *testing.T) {
	var g Group
	release := make(chan struct{})
	g.Go(func() { <-release })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := g.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	close(release)
	if err := g.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

// However Add and Close meet: no work runs after Close has returned.
func TestNothingRunsAfterClose(t *testing.T) {
	for range 200 {
		var g Group
		var runs atomic.Int64
		var callers sync.WaitGroup
		for range 8 {
			callers.Go(func() {
				g.Go(func() {
					runs.Add(1)
					defer runs.Add(-1)
				})
			})
		}
		if err := g.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		if n := runs.Load(); n != 0 {
			t.Fatalf("%d run after Close", n)
		}
		callers.Wait()
		if n := runs.Load(); n != 0 {
			t.Fatalf("%d were added after Close", n)
		}
	}
}
