// Package problem is the one error type that reaches a user.
//
// Every part of nixvm may return plain wrapped errors; where a person can do
// something about it, it returns a *problem.Error: a dotted code that programs
// compare, a message that says what failed, and a hint that says what to do.
// The RPC layer sends exactly these fields; the command line prints them.
package problem

import (
	"context"
	"errors"
	"fmt"
)

// Code is a dotted word, stable across versions, that programs may compare.
type Code string

// The codes of the protocol. docs/protocol.md lists them with their meaning.
const (
	Internal            Code = "internal"
	BadParams           Code = "params.invalid"
	Cancelled           Code = "operation.cancelled"
	OperationNotFound   Code = "operation.not_found"
	OperationInterrupt  Code = "operation.interrupted"
	ConfirmRequired     Code = "confirm.required"
	MachineNameInvalid  Code = "machine.name_invalid"
	MachineNotFound     Code = "machine.not_found"
	MachineExists       Code = "machine.exists"
	MachineBroken       Code = "machine.broken"
	MachineInvalid      Code = "machine.invalid"
	ProfileUnknown      Code = "profile.unknown"
	ModeUnsupported     Code = "mode.unsupported"
	SizeInvalid         Code = "size.invalid"
	VMBusy              Code = "vm.busy"
	VMExists            Code = "vm.exists"
	VMNotFound          Code = "vm.not_found"
	VMNotRunning        Code = "vm.not_running"
	VMRunning           Code = "vm.running"
	VMNotReady          Code = "vm.not_ready"
	VMStartFailed       Code = "vm.start_failed"
	VMStopTimeout       Code = "vm.stop_timeout"
	SnapshotExists      Code = "snapshot.exists"
	SnapshotNotFound    Code = "snapshot.not_found"
	SnapshotNameInvalid Code = "snapshot.name_invalid"
	SnapshotFailed      Code = "snapshot.failed"
	BackendUnknown      Code = "backend.unknown"
	BackendUnreachable  Code = "backend.unreachable"
	BackendMissing      Code = "backend.missing_program"
	Unsupported         Code = "capability.unsupported"
	ImageNotFound       Code = "image.not_found"
	ImageCorrupt        Code = "image.corrupt"
	ImageBuildFailed    Code = "image.build_failed"
	ImageUnsupported    Code = "image.unsupported"
	DiskFull            Code = "disk.full"
	PortTaken           Code = "port.taken"
	SSHConfigMalformed  Code = "ssh.config_malformed"
	SSHConfigReadOnly   Code = "ssh.config_read_only"
	SSHNameTaken        Code = "ssh.name_taken"
	SSHShadowed         Code = "ssh.shadowed"
	SSHPathTooLong      Code = "ssh.path_too_long"
	SSHUnreachable      Code = "ssh.unreachable"
	SSHHostKey          Code = "ssh.host_key_mismatch"
	ForwardConflict     Code = "forward.conflict"
	ForwardNotFound     Code = "forward.not_found"
	ConfigInvalid       Code = "config.invalid"
	DaemonRunning       Code = "daemon.running"
	DaemonUnreachable   Code = "daemon.unreachable"
	PeerRefused         Code = "daemon.peer_refused"
	PathTooLong         Code = "path.too_long"
)

// Error is a user-facing problem.
type Error struct {
	Code      Code
	Message   string // what failed, one sentence without a final full stop
	Hint      string // what to do about it; may be empty
	Retryable bool   // the same request may succeed later without a change
	Err       error  // cause, for logs and errors.Is; may be nil
}

// New makes an Error with a formatted message. A %w verb keeps the cause.
func New(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Message: err.Error(), Err: errors.Unwrap(err)}
}

// WithHint adds what the user can do.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// Retry marks the problem as one that may pass by itself.
func (e *Error) Retry() *Error {
	e.Retryable = true
	return e
}

func (e *Error) Error() string { return e.Message }

func (e *Error) Unwrap() error { return e.Err }

// Is makes errors.Is(err, &Error{Code: c}) compare codes.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// From returns the Error within err, or wraps err: a cancelled or expired
// context as operation.cancelled, anything else as internal. The message of a
// wrapped Error keeps the words that were added around it. From(nil) is nil.
func From(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		if err.Error() == e.Message {
			return e
		}
		outer := *e
		outer.Message, outer.Err = err.Error(), err
		return &outer
	}
	if errors.Is(err, context.Canceled) {
		return &Error{Code: Cancelled, Message: err.Error(), Err: err}
	}
	return &Error{Code: Internal, Message: err.Error(), Err: err}
}

// HasCode reports whether err is, or wraps, an Error with that code.
func HasCode(err error, code Code) bool { return errors.Is(err, &Error{Code: code}) }
