package problem

import "errors"

// ErrUntouched marks errors of what has failed before it changed anything: nothing
// of it needs to be undone. See Untouched.
var ErrUntouched = errors.New("nothing was done")

// untouched is an error with that mark and without its text.
type untouched struct{ error }

func (u untouched) Unwrap() []error { return []error{u.error, ErrUntouched} }

// Untouched marks err as one of what has failed before it changed anything: the text
// stays, and errors.Is finds ErrUntouched. nil stays nil.
func Untouched(err error) error {
	if err == nil {
		return nil
	}
	return untouched{err}
}
