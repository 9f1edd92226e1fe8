package backends

import (
	"context"

	"github.com/nixvm/nixvm/internal/problem"
)

// Autostarter is a Backend whose host starts VMs when it boots itself.
type Autostarter interface {
	// AutostartDefault reports whether a new VM starts with its host when its creation
	// does not say.
	AutostartDefault() bool
	// SetAutostart says whether the host starts the VM, in any present state of the VM.
	// It holds until the next Start, whose spec sets it again.
	SetAutostart(ctx context.Context, vm Ref, on bool) error
}

// NoAutostart is the refusal of a backend that is no [Autostarter].
func NoAutostart(backend string) *problem.Error {
	return problem.New(problem.Unsupported, "backend %s cannot start VMs with its host", backend).
		WithHint("choose a backend with the setting autostart: see docs/configuration.md")
}
