package problem

import (
	"errors"
	"io/fs"
)

// Path says in words what is wrong with a path that a user has named: err without the
// name of the system call that found it.
func Path(err error) string {
	var p *fs.PathError
	switch {
	case !errors.As(err, &p):
		return err.Error()
	case errors.Is(err, fs.ErrNotExist):
		return p.Path + " does not exist"
	}
	return p.Path + ": " + p.Err.Error()
}
