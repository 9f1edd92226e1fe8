package vm

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/fake"
)

// slowToStop is a backend whose guest has not powered off when the first wait for it is
// cut short.
type slowToStop struct {
	*fake.Backend
	asked chan struct{}
	waits atomic.Int32
}

func (b *slowToStop) Shutdown(ctx context.Context, vm backends.Ref) error {
	if b.waits.Add(1) > 1 {
		return b.Backend.Shutdown(ctx, vm)
	}
	close(b.asked)
	<-ctx.Done()
	return ctx.Err()
}

// A guest that has been asked to power off does so after the operation has been cancelled,
// too: it runs at the end because the undo has waited for that, and started it.
func TestAGuestThatWasAskedToShutDownRunsAfterTheUndo(t *testing.T) {
	for kind, begin := range map[string]func(h house) (api.Operation, error){
		"upgrade": func(h house) (api.Operation, error) {
			return h.Upgrade(background, api.UpgradeParams{Name: "demo"})
		},
		"recreate": func(h house) (api.Operation, error) { return h.Recreate(background, recreateParams("demo")) },
	} {
		for _, by := range []string{"cancel", "kill"} {
			t.Run(kind+" "+by, func(t *testing.T) {
				h := withData(t, nil)
				h.profiles(t, "demo", "newer")
				b := &slowToStop{Backend: h.fake, asked: make(chan struct{})}
				h.mu.Lock()
				h.backends["test"] = b
				h.mu.Unlock()
				before, _ := h.Get("demo")
				op, err := begin(h)
				if err != nil {
					t.Fatal(err)
				}
				<-b.asked
				want, waits := backends.Running, int32(2)
				if by == "cancel" {
					err = h.Cancel(op.ID)
				} else { // it does not want the VM running again
					var killed api.Operation
					killed, err = h.Kill(background, "demo", "t")
					h.succeed(t, killed, err)
					want, waits = backends.Stopped, 1
				}
				if op = h.do(t, op, err); op.State != api.OpCancelled {
					t.Errorf("%s: %+v", kind, op)
				}
				v, _ := h.Get("demo")
				if v.State != want || b.waits.Load() != waits {
					t.Errorf("demo is %s after %d waits", v.State, b.waits.Load())
				}
				if by == "cancel" && !v.Started.After(before.Started) {
					t.Error("demo was not started again")
				}
				wantNoJournal(t, h)
			})
		}
	}
}
