package vm

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/operation"
)

// refuses is a backend that answers the first question late, and with an error.
type refuses struct {
	backends.Backend
	asked  atomic.Int32
	first  chan struct{} // closed to let the first question fail
	second chan struct{} // closed when there is a second
}

func (b *refuses) Unwrap() backends.Backend { return b.Backend }

func (b *refuses) Status(ctx context.Context, vm backends.Ref) (backends.Status, error) {
	switch b.asked.Add(1) {
	case 1:
		<-b.first
		return backends.Status{}, problem.New(problem.BackendUnreachable, "not now").WithHint("ask again")
	case 2:
		close(b.second)
	}
	return b.Backend.Status(ctx, vm)
}

// A client attaches while the request of another one is being judged, and that is
// refused: the client starts the VM itself.
func TestAttachDuringARequestThatIsRefused(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	for range 20 {
		op, err := h.Kill(background, "demo", "t")
		h.succeed(t, op, err)
		b := &refuses{Backend: h.fake, first: make(chan struct{}), second: make(chan struct{})}
		h.mu.Lock()
		h.backends["test"] = b
		h.mu.Unlock()
		refused, attached := make(chan error, 1), make(chan error, 1)
		go func() {
			_, err := h.Start(background, "demo", "first")
			refused <- err
		}()
		comes(t, "the first request is judged", func() bool { return b.asked.Load() > 0 })
		go func() {
			_, err := h.Attach(background, api.AttachParams{Name: "demo", Start: true})
			attached <- err
		}()
		<-b.second
		close(b.first)
		wantProblem(t, <-refused, problem.BackendUnreachable)
		if err := <-attached; err != nil {
			t.Fatalf("attach: %v", err)
		}
		h.mu.Lock()
		h.backends["test"] = h.fake
		h.mu.Unlock()
	}
}

// An edit of the machine that does not end keeps an attach from its start, with a reason.
func TestAttachDuringAnEditThatHangs(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil, func(o *Options) { o.limits.Edit = 10 * time.Millisecond })
	op, err := h.Create(background, api.CreateParams{Name: "demo", NoStart: true})
	h.succeed(t, op, err)
	editing, finish, edited := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		edited <- h.engine.Edit(background, operation.Edit{Key: "demo", What: "it is being changed"}, func(context.Context) error {
			close(editing)
			<-finish
			return nil
		})
	}()
	<-editing
	ctx, cancel := context.WithTimeout(background, 20*time.Second)
	defer cancel()
	_, err = h.Attach(ctx, api.AttachParams{Name: "demo", Start: true})
	close(finish)
	wantProblem(t, err, problem.VMBusy)
	if err := <-edited; err != nil {
		t.Error(err)
	}
}
