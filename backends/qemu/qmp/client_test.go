package qmp

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestExecuteReturnsTheValueOfTheReply(t *testing.T) {
	s := serve(t, func(p *peer) {
		p.negotiate()
		c, _ := p.next()
		if c.Execute != "query-status" || c.Arguments != nil {
			t.Errorf("request %+v", c)
		}
		p.reply(c, `{"status": "running"}`)
	})
	var out struct{ Status string }
	if err := dial(t, s, nil).Execute(limit(t), "query-status", nil, &out); err != nil || out.Status != "running" {
		t.Errorf("%+v, %v", out, err)
	}
}

func TestRefusalIsAnError(t *testing.T) {
	s := serve(t, func(p *peer) {
		p.negotiate()
		c, _ := p.next()
		p.send(`{"id": ` + string(c.ID) + `, "error": {"class": "GenericError", "desc": "no such device"}}` + "\n")
	})
	err := dial(t, s, nil).Execute(limit(t), "device_del", map[string]string{"id": "x"}, nil)
	var refused *Error
	if !errors.As(err, &refused) || refused.Class != "GenericError" || !strings.Contains(err.Error(), "no such device") {
		t.Errorf("%v", err)
	}
}

func TestRepliesMayComeInAnyOrder(t *testing.T) {
	const calls = 20
	s := serve(t, func(p *peer) {
		p.negotiate()
		var all []call
		for range calls {
			c, ok := p.next()
			if !ok {
				return
			}
			all = append(all, c)
		}
		for i := range all {
			c := all[len(all)-1-i]
			p.reply(c, string(c.Arguments))
		}
	})
	c := dial(t, s, nil)
	var wg sync.WaitGroup
	for i := range calls {
		wg.Go(func() {
			var got int
			if err := c.Execute(limit(t), "echo", i, &got); err != nil || got != i {
				t.Errorf("call %d got %d, %v", i, got, err)
			}
		})
	}
	wg.Wait()
}

func TestEventsArriveInOrderWithTheirTime(t *testing.T) {
	s := serve(t, func(p *peer) {
		p.negotiate()
		for i := range 3 {
			p.send(fmt.Sprintf(`{"timestamp": {"seconds": 1700000000, "microseconds": %d}, "event": "E%d", "data": {"reason": "r%d"}}`+"\n", i, i, i))
		}
	})
	var got []string
	c := dial(t, s, func(e Event) {
		var d struct{ Reason string }
		if err := e.Decode(&d); err != nil {
			t.Error(err)
		}
		got = append(got, fmt.Sprint(e.Name, d.Reason, e.Time.UnixMicro()))
	})
	<-c.Done() // the peer has hung up: everything was delivered
	want := "[E0r01700000000000000 E1r11700000000000001 E2r21700000000000002]"
	if fmt.Sprint(got) != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestExecuteEndsWithItsContext(t *testing.T) {
	heard := make(chan struct{})
	s := serve(t, func(p *peer) {
		p.negotiate()
		late, _ := p.next()
		close(heard)
		next, _ := p.next()
		p.reply(late, `"late"`) // it is no longer awaited
		p.reply(next, `"next"`)
	})
	c := dial(t, s, nil)
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("the user went away")
	go func() { <-heard; cancel(reason) }()
	if err := c.Execute(ctx, "slow", nil, nil); !errors.Is(err, reason) {
		t.Errorf("%v", err)
	}
	if err := c.Execute(ctx, "too late", nil, nil); !errors.Is(err, reason) {
		t.Errorf("%v", err)
	}
	var got string
	if err := c.Execute(limit(t), "quick", nil, &got); err != nil || got != "next" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestWritesToAPeerThatDoesNotReadEndWithTheirContext is what a QEMU that was
// stopped (SIGSTOP) does to its monitor: the first call fills the socket, the next
// one waits behind it.
func TestWritesToAPeerThatDoesNotReadEndWithTheirContext(t *testing.T) {
	hold := make(chan struct{})
	s := serve(t, func(p *peer) { p.negotiate(); <-hold })
	defer close(hold)
	c := dial(t, s, nil)
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("the user went away")
	ended := make(chan error, 2)
	full := strings.Repeat("x", MaxLine) // more than any socket holds
	go func() { ended <- c.Execute(ctx, "first", full, nil) }()
	for len(c.writing) == 0 {
		runtime.Gosched() // until the first one writes
	}
	go func() { ended <- c.Execute(ctx, "second", nil, nil) }()
	cancel(reason)
	for range 2 {
		if err := <-ended; err == nil {
			t.Error("a call ended well")
		}
	}
}

func TestEndOfTheConnectionEndsCalls(t *testing.T) {
	s := serve(t, func(p *peer) {
		p.negotiate()
		p.next()
	})
	c := dial(t, s, nil)
	if err := c.Execute(limit(t), "quit", nil, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("%v", err)
	}
	if err := c.Execute(limit(t), "after", nil, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("%v", err)
	}
}

func TestBadPeersAreRefused(t *testing.T) {
	for name, text := range map[string]string{
		"no JSON":            "hello\n",
		"no greeting":        `{"return": {}}` + "\n",
		"end at once":        "",
		"endless first line": strings.Repeat("x", 2*MaxLine),
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, func(p *peer) { p.send(text) })
			if c, err := Dial(limit(t), s.path, nil); err == nil {
				c.Close()
				t.Error("accepted")
			}
		})
	}
}

func TestSilentPeerEndsWithTheContext(t *testing.T) {
	hold := make(chan struct{})
	s := serve(t, func(*peer) { <-hold })
	defer close(hold)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Dial(ctx, s.path, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

func TestNonsenseEndsTheConnection(t *testing.T) {
	s := serve(t, func(p *peer) {
		p.negotiate()
		p.next()
		p.send(`{"return": 1, "event": "X"}` + "\n")
		p.next() // until the client hangs up
	})
	c := dial(t, s, nil)
	if err := c.Execute(limit(t), "x", nil, nil); !errors.Is(err, ErrProtocol) {
		t.Errorf("%v", err)
	}
}
