package backends

import "github.com/nixvm/nixvm/internal/problem"

// Conditional is a Backend that has the methods of optional interfaces which its
// configuration, or its host, does not support. A wrapper that hides what the
// backend below it can do is one, too.
type Conditional interface {
	// Offers reports whether an optional interface may be used now. It is given as a
	// nil pointer to it, e.g. (*Migrator)(nil); one that is not known is offered.
	// The answer may change while the backend is open: a backend that notices this
	// sends an event [CapabilitiesChanged]. It is asked often and must not wait for
	// anything.
	Offers(optional any) bool
}

// Wrapper is a Backend in front of another one.
type Wrapper interface{ Unwrap() Backend }

// As finds the optional interface (or the concrete type) T of a backend, also behind
// wrappers. A wrapper that has the methods of T itself comes first; one that does
// not offer T hides it. It reports false for what the backend cannot do now.
func As[T any](b Backend) (T, bool) {
	var none T
	for b != nil {
		if c, ok := b.(Conditional); ok && !c.Offers((*T)(nil)) {
			return none, false
		}
		if found, ok := b.(T); ok {
			return found, true
		}
		w, ok := b.(Wrapper)
		if !ok {
			break
		}
		b = w.Unwrap()
	}
	return none, false
}

// Require is As where there is no way without T: capability.unsupported says that
// the backend cannot do it. what completes "backend lab cannot ...".
func Require[T any](b Backend, what string) (T, error) {
	found, ok := As[T](b)
	if !ok {
		return found, problem.New(problem.Unsupported, "backend %s cannot %s", b.Name(), what).
			WithHint("docs/configuration.md lists the capabilities of each type of backend")
	}
	return found, nil
}
