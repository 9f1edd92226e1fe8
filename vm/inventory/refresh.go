package inventory

import (
	"context"
	"fmt"
	"sync"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// attempts bounds how often an answer is asked for that events overtake. Each of those
// events is newer than the question, so the last one is as good as an answer.
const attempts = 3

// Refresh asks the backend about one VM, and returns when its answer, or an event that
// is newer, has been applied. Operations call it so that what they did is visible when
// they end. It must not be called by a hook.
func (v *Inventory) Refresh(ctx context.Context, b backends.Backend, name string) error {
	for range attempts {
		var st backends.Status
		overtaken := false
		err := v.streams[b.Name()].ask(ctx, b, func() (err error) {
			if st, err = b.Status(ctx, v.Ref(name)); err != nil {
				err = fmt.Errorf("query backend %s: %w", b.Name(), err)
			}
			return err
		}, func(newer map[string]bool) {
			if overtaken = newer[name]; !overtaken {
				v.apply(b, backends.Event{Kind: backends.StateChanged, Status: st})
			}
		})
		if err != nil || !overtaken {
			return err
		}
	}
	return nil
}

// Ask asks a backend about all its VMs. Those of a backend that cannot be asked are
// unknown from then on; Silent says why.
func (v *Inventory) Ask(ctx context.Context, b backends.Backend) {
	var list []backends.Status
	var failed error
	err := v.streams[b.Name()].ask(ctx, b, func() error {
		asking, cancel := context.WithTimeout(ctx, v.options.AskLimit)
		defer cancel()
		if list, failed = b.List(asking); failed != nil {
			list = nil // a part of it says nothing of the rest
		}
		return nil
	}, func(newer map[string]bool) {
		v.mu.Lock()
		v.silent[b.Name()] = problem.From(failed)
		v.mu.Unlock()
		for _, st := range v.answersFor(b, list, failed) {
			if !newer[st.Name] { // else the event says more
				v.apply(b, backends.Event{Kind: backends.StateChanged, Status: st})
			}
		}
	})
	if failed != nil || err != nil {
		v.options.Log.Warn("the backend is unreachable", "backend", b.Name(), "error", problem.From(firstOf(failed, err)))
	}
}

// Ref is [Entry.Ref] of a machine; of one that is not known, its name.
func (v *Inventory) Ref(name string) backends.Ref {
	if e, ok := v.Get(name); ok {
		return e.Ref()
	}
	return backends.Named(name)
}

func firstOf(list ...error) error {
	for _, err := range list {
		if err != nil {
			return err
		}
	}
	return nil
}

// answersFor completes the list of a backend by the VMs that it should have, because
// their records name it, and by those that it had.
func (v *Inventory) answersFor(b backends.Backend, list []backends.Status, failed error) []backends.Status {
	seen := map[string]bool{}
	for _, st := range list {
		e, ok := v.Get(st.Name)
		seen[st.Name] = !ok || e.isSubjectOf(st)
	}
	for _, e := range v.List() {
		switch {
		case seen[e.Name] || e.Host() != b.Name():
		case failed != nil:
			list = append(list, backends.Status{Name: e.Name, State: backends.Unknown, Reason: failed.Error()})
		case e.Record == nil:
			list = append(list, backends.Status{Name: e.Name, State: backends.Absent})
		default:
			list = append(list, backends.Status{Name: e.Name, State: backends.Broken, Reason: "its disks are gone"})
		}
	}
	return list
}

// askAll asks all backends at once.
func (v *Inventory) askAll(ctx context.Context) {
	var wg sync.WaitGroup
	for _, b := range v.options.Backends {
		wg.Go(func() { v.Ask(ctx, b) })
	}
	wg.Wait()
}
