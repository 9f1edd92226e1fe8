package machine

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/nixvm/nixvm/internal/problem"
)

// Fault is what is wrong with one file: where, why, and what to do.
type Fault struct {
	File   string       // as the user knows it: a path, or a bare file name within a Draft
	Line   int          // from 1; 0 = the file as a whole
	Reason string       // names the value, unless it may be a secret
	Hint   string       // what to write instead
	Code   problem.Code // of a Draft with this fault; empty = machine.invalid
}

func (f *Fault) Error() string {
	if f.Line > 0 {
		return fmt.Sprintf("%s line %d: %s", f.File, f.Line, f.Reason)
	}
	return f.File + ": " + f.Reason
}

// broken is the problem of a machine directory that has this fault.
func (f *Fault) broken() *problem.Error {
	return &problem.Error{Code: problem.MachineBroken, Message: f.Error(), Hint: f.Hint, Err: f}
}

// invalid is the problem of a request that has this fault: it names the setting,
// not the line of a file that does not exist yet.
func (f *Fault) invalid() *problem.Error {
	f = &Fault{File: f.File, Reason: f.Reason, Hint: f.Hint, Code: f.Code}
	code := f.Code
	if code == "" {
		code = problem.MachineInvalid
	}
	return &problem.Error{Code: code, Message: f.Error(), Hint: f.Hint, Err: f}
}

// faultOf is the fault that a parser has found.
func faultOf(err error, file string) *Fault {
	var f *Fault
	if errors.As(err, &f) {
		return f
	}
	return &Fault{File: file, Reason: err.Error()}
}

// asProblem turns an error of parse into a problem by convert, and leaves
// any other error alone.
func asProblem(err error, convert func(*Fault) *problem.Error) error {
	var f *Fault
	if errors.As(err, &f) {
		return convert(f)
	}
	return err
}

// writeProblem gives a full disk its own code and says what was being done.
func writeProblem(doing string, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return problem.New(problem.DiskFull, "%s: %w", doing, err).
			WithHint("free some space on that file system, then try again").Retry()
	}
	return fmt.Errorf("%s: %w", doing, err)
}
