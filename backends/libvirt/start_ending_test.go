package libvirt

import (
	"context"
	"errors"
	"testing"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/cond"
)

// libvirt still has a QEMU whose guest has powered off, for a moment: a VM that is started
// then is not running.
func TestAStartWaitsForAQEMUThatIsEnding(t *testing.T) {
	b := &Backend{limits: usualLimits, events: backends.NewQueue(), domains: map[string]*domain{
		"demo": {status: backends.Status{State: backends.Running}, ending: true},
	}}
	defer b.events.Close()
	b.changed = cond.New(&b.mu, nil, nil)
	cancelled, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped")
	cancel(stopped)
	if err := b.awaitEnd(cancelled, "demo"); !errors.Is(err, stopped) {
		t.Errorf("it is not waited for: %v", err)
	}
	done := make(chan error, 1)
	go func() { done <- b.awaitEnd(t.Context(), "demo") }()
	b.put("demo", domain{status: backends.Status{State: backends.Stopped}, sent: 1})
	if err := <-done; err != nil {
		t.Error(err)
	}
}
