package inventory

import (
	"context"
	"log/slog"
	"runtime"
	"testing"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/paths"
	"github.com/nixvm/nixvm/machine"
)

// A backend that reports something at once: the owner of the hooks does not have its
// inventory as long as New has not returned.
func TestNoHookIsCalledBeforeLoad(t *testing.T) {
	layout := paths.Under(t.TempDir())
	if err := layout.Ensure(); err != nil {
		t.Fatal(err)
	}
	store, err := machine.OpenStore(layout.Machines())
	if err != nil {
		t.Fatal(err)
	}
	b := newStaged()
	b.out = make(chan backends.Event, 1)
	b.out <- backends.Event{Kind: backends.StateChanged, Status: backends.Status{Name: "demo", State: backends.Stopped}}
	v := New(context.Background(), Options{
		Layout: layout, Machines: store, Backends: []backends.Backend{b}, Log: slog.New(slog.DiscardHandler), AskLimit: time.Minute,
		Hooks: Hooks{Changed: func(name string) { t.Errorf("%s has changed", name) }},
	})
	for range 1000 {
		runtime.Gosched() // the followers of the events have their chance
	}
	if len(b.out) != 1 {
		t.Error("events are followed before Load")
	}
	v.Stop()
	close(b.out)
	v.Wait()
}
