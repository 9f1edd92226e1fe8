package backends

import (
	"context"

	"github.com/nixvm/nixvm/internal/problem"
)

// IdentityRenewer is a Backend that can give a running guest another identity. The
// guest needs an image of guest contract 2 or later, and a root that is not its own.
type IdentityRenewer interface {
	// RenewIdentity puts another content on the identity medium of a running VM
	// and has the guest take it over. It returns the identity files that take
	// effect at the next boot only, by their names on the medium.
	//
	// A VM that does not run: vm.not_running. A guest that does not take it, or has no
	// agent, and a VM that was started with a medium of another length:
	// identity.not_applied. After an error, and on cancellation, the medium
	// has its old content, and the guest its old identity as far as it answers.
	RenewIdentity(ctx context.Context, vm Ref, id Identity) (pending []string, err error)
}

// Identity is the content of an identity medium (ISO 9660), and its generation.
type Identity struct {
	Medium     []byte
	Generation uint64
}

// NotApplied is the problem of an identity that a running guest has not taken.
func NotApplied(name, format string, args ...any) *problem.Error {
	return problem.New(problem.IdentityNotApplied, "VM %s has not applied its new identity: "+format, append([]any{name}, args...)...).
		WithHint("it takes effect at the next start: nixvmd reboot %s", name)
}
