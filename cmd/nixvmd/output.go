package main

import (
	"errors"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/internal/problem"
)

// output is the standard output with a memory: the first error of a write is the
// verb's, for every writer. A pipe without a reader ends the program with
// SIGPIPE, as it ends others; Go does that for us.
type output struct {
	io.Writer
	err error
}

func (o *output) Write(p []byte) (int, error) {
	n, err := o.Writer.Write(p)
	if err != nil && o.err == nil {
		o.err = err
	}
	return n, err
}

// broken ends the program as a pipe without a reader does, for a verb that had SIGPIPE
// held back: with nothing to catch the signal, another write raises it.
func (o *output) broken() {
	if errors.Is(o.err, unix.EPIPE) {
		_, _ = o.Writer.Write([]byte{0})
	}
}

// lost is the problem of an answer that could not be written whole; nil when it was.
func (o *output) lost() error {
	if o.err == nil {
		return nil
	}
	err := o.err
	var path *fs.PathError
	if errors.As(err, &path) { // "write /dev/stdout" says nothing to the user
		err = path.Err
	}
	return problem.New(problem.Internal, "cannot write the output: %w", err).
		WithHint("the output is incomplete; free some space, or redirect it elsewhere")
}

// file is the standard output for those who need a descriptor.
func (o *output) file() (*os.File, bool) {
	f, ok := o.Writer.(*os.File)
	return f, ok
}
