package vm

import (
	"context"
	"testing"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// A guest whose backend cannot reach it any more, but whose sshd answers: its control
// sockets are gone, for example.
func TestOutOfReachAndAnswering(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	check(t, h.fake.Lose("demo"))
	h.until(t, "demo", "unknown", func(v VM) bool { return v.State == backends.Unknown })
	ctx, cancel := context.WithTimeout(background, time.Minute)
	defer cancel()
	for _, req := range []api.EndpointParams{{Host: "demo", Start: true}, {Host: "demo", Wait: true}, {Host: "demo"}} {
		if e, err := h.Endpoint(ctx, req); err != nil || e.Address == "" {
			t.Errorf("%+v: %+v, %v", req, e, err)
		}
	}
	op, err := h.Stop(background, "demo", 0, "t")
	h.succeed(t, op, err)
	if v, err := h.Get("demo"); err != nil || v.State != backends.Stopped {
		t.Errorf("%+v, %v", v, err)
	}
	op, err = h.Start(background, "demo", "t")
	h.succeed(t, op, err)
	check(t, h.fake.Lose("demo"))
	op, err = h.Reboot(background, "demo", "t") // gives it new ones
	h.succeed(t, op, err)
	if v, err := h.Get("demo"); err != nil || !v.Ready {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestOutOfReachAndSilent(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	check(t, h.fake.Cut("demo", true))
	check(t, h.fake.Lose("demo"))
	op, err := h.Stop(background, "demo", time.Minute, "t")
	if op = h.do(t, op, err); op.State != api.OpFailed || op.Problem.Code != problem.BackendUnreachable || op.Problem.Hint == "" {
		t.Errorf("%+v, %v", op, op.Problem)
	}
}
