package vm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
)

func TestForwardsThatAreAddedAtOnceAllStay(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	const n = 8
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if _, err := h.AddForward(t.Context(), "demo", fmt.Sprintf("%d localhost:80", 8000+i)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if list, err := h.Forwards(t.Context(), "demo"); err != nil || len(list) != n {
		t.Errorf("%d of %d are left: %+v, %v", len(list), n, list, err)
	}
}

// Nobody would end the connection of a guest that has gone.
func TestNothingIsHeldOfAGuestThatHasGone(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	m, _, err := h.realised("demo")
	if err != nil {
		t.Fatal(err)
	}
	dial := func(context.Context) (net.Conn, error) { return nil, errors.New("not here") }
	run := h.bootOf("demo")
	if h.newHolder(m, run, dial) == nil || h.holderOf("demo") == nil {
		t.Error("nothing is held of one that runs")
	}
	h.endBoot("demo")
	if h.newHolder(m, run, dial) != nil || h.holderOf("demo") != nil {
		t.Error("something is held")
	}
}
