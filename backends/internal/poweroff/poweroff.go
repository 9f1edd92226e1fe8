// Package poweroff requests guests to power off, repeatedly, until they have.
package poweroff

import (
	"context"
	"log/slog"
	"time"

	"github.com/nixvm/nixvm/backends/internal/refusal"
)

// The pause between two requests grows: a guest that is still booting loses the first
// ones.
const (
	firstPause   = 2 * time.Second
	longestPause = 15 * time.Second
)

// Guest is a running or suspended VM.
type Guest interface {
	// Unpause lets a suspended guest run: a paused one sees no request.
	Unpause(ctx context.Context) error
	// PressButton presses the ACPI power button.
	PressButton(ctx context.Context) error
	// AgentUp reports whether the guest agent has opened its port, AskAgent asks it
	// to power the guest off. It has limits of its own.
	AgentUp() bool
	AskAgent(ctx context.Context) error
	// Off waits until the VM is off, or until ctx is done. Another error means that
	// this will not be known, and ends Ask.
	Off(ctx context.Context) error
}

// Ask presses the power button, and asks the guest agent every second time, until the
// VM is off. When ctx ends before, the guest runs on: vm.stop_timeout. A request that
// cannot be sent is no error: the next one goes another way.
func Ask(ctx context.Context, vm string, g Guest, log *slog.Logger) error {
	if err := g.Unpause(ctx); err != nil {
		return err
	}
	for pause, n := firstPause, 0; ; pause, n = min(2*pause, longestPause), n+1 {
		ask := g.PressButton
		if n%2 == 1 && g.AgentUp() {
			ask = g.AskAgent
		}
		if err := ask(ctx); err != nil && ctx.Err() == nil {
			log.Debug("request to power off", "vm", vm, "error", err)
		}
		wait, cancel := context.WithTimeout(ctx, pause)
		err := g.Off(wait)
		paused := wait.Err() != nil
		cancel()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return refusal.StillOn(vm, context.Cause(ctx))
		case !paused:
			return err
		}
	}
}
