// Package problem defines the error type that is shown to users.
//
// Every part of nixvm may return plain wrapped errors; where the user can act on
// the error, it returns a *problem.Error: a dotted code that programs
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
	Internal            Code = "internal"                // a defect of nixvm itself; the daemon's log has details
	BadParams           Code = "params.invalid"          // a parameter is missing, unknown, or of the wrong form
	Cancelled           Code = "operation.cancelled"     // the request or operation was cancelled, and its completed steps were undone
	OperationNotFound   Code = "operation.not_found"     // no operation has that id, or it ended long ago
	OperationInterrupt  Code = "operation.interrupted"   // the daemon ended while the operation was running; the message says how it was completed or undone
	OperationResolved   Code = "operation.resolved"      // the operation is not unresolved, or does not offer this choice
	ConfirmRequired     Code = "confirm.required"        // a destructive request does not repeat the machine's name in confirm
	MachineNameInvalid  Code = "machine.name_invalid"    // the name is not a DNS label of at most 63 characters
	MachineNotFound     Code = "machine.not_found"       // there is no machine of that name
	MachineExists       Code = "machine.exists"          // the name is in use
	MachineBroken       Code = "machine.broken"          // a file of the machine directory, or the record of its VM, cannot be read
	MachineInvalid      Code = "machine.invalid"         // a value does not fit into the machine directory
	ProfileUnknown      Code = "profile.unknown"         // there is no such profile, or not for this kind of image
	ProfileConflict     Code = "profile.conflict"        // two of the profiles exclude each other
	ModeUnsupported     Code = "mode.unsupported"        // there is no such mode, or not for this image
	SizeInvalid         Code = "size.invalid"            // a size is not a number of bytes, too small, too large, or smaller than it was
	VMBusy              Code = "vm.busy"                 // another operation is running on the machine; the message names it
	VMExists            Code = "vm.exists"               // the machine has a VM
	VMNotFound          Code = "vm.not_found"            // the machine has no VM
	VMNotRunning        Code = "vm.not_running"          // the VM is not running
	VMRunning           Code = "vm.running"              // the VM is running and must be stopped
	VMNotReady          Code = "vm.not_ready"            // the guest's SSH server did not answer in time
	VMStartFailed       Code = "vm.start_failed"         // the VM could not be started
	VMStopTimeout       Code = "vm.stop_timeout"         // the guest did not shut down in time; it keeps running
	IdentityNotApplied  Code = "identity.not_applied"    // the running guest has not applied its new identity; it takes effect at its next start
	DiskNotFilled       Code = "disk.not_filled"         // the disk of a running VM was enlarged, and its guest uses the additional space after its next boot
	UpgradeFailed       Code = "vm.upgrade_failed"       // the guest does not work with its new image; the VM has returned to the former one
	GenerationNotFound  Code = "generation.not_found"    // the VM has no such generation
	MigrateFailed       Code = "vm.migrate_failed"       // the VM could not move; the message says on which backend it is
	StorageNotShared    Code = "storage.not_shared"      // the two hosts do not see the same disks
	SnapshotExists      Code = "snapshot.exists"         // the VM has a snapshot of that name
	SnapshotNotFound    Code = "snapshot.not_found"      // the VM has no snapshot of that name
	SnapshotNameInvalid Code = "snapshot.name_invalid"   // the name is not valid for a snapshot
	SnapshotFailed      Code = "snapshot.failed"         // the snapshot could not be taken, restored or deleted
	BackendUnknown      Code = "backend.unknown"         // no backend of that name is configured
	BackendUnreachable  Code = "backend.unreachable"     // the backend does not answer
	BackendMissing      Code = "backend.missing_program" // a program that the backend needs is missing
	Unsupported         Code = "capability.unsupported"  // the backend or image cannot do that
	ImageNotFound       Code = "image.not_found"         // there is no such image or image file
	ImageCorrupt        Code = "image.corrupt"           // an image is damaged, or not an image
	ImageBuildFailed    Code = "image.build_failed"      // building the image failed; the message ends with the tool's last words
	ImageUnsupported    Code = "image.unsupported"       // images of that kind cannot be built on this host
	BackupNotFound      Code = "backup.not_found"        // there is no such backup or archive
	BackupFailed        Code = "backup.failed"           // the backup could not be written or verified
	ArchiveInvalid      Code = "archive.invalid"         // an archive is damaged, cut off, or not one of nixvm
	RepositoryNotFound  Code = "repository.not_found"    // a git repository, or a branch of it, is not there or cannot be read; the message says whether on this host or in the VM
	PullFailed          Code = "pull.failed"             // the branch could not be fetched from the VM, or is refused
	PullTooLarge        Code = "pull.too_large"          // the VM has sent more than the limit
	DiskFull            Code = "disk.full"               // no space is left
	PCIUnavailable      Code = "pci.unavailable"         // a PCI device of the host does not exist, is not bound to vfio-pci, is not open to the user, or is in use by another VM
	PortTaken           Code = "port.taken"              // the port is in use
	SSHConfigMalformed  Code = "ssh.config_malformed"    // nixvm's markers in the user's SSH configuration are damaged, or ssh refuses the file
	SSHConfigReadOnly   Code = "ssh.config_read_only"    // the user's SSH configuration must not be written; the hint has the line to add
	SSHConfigRefused    Code = "ssh.config_refused"      // ssh does not use the user's SSH configuration, because of its permissions or owner
	SSHInherited        Code = "ssh.inherited"           // the user's SSH configuration sets a forward for every host, which the VM would inherit
	SSHNameTaken        Code = "ssh.name_taken"          // the SSH name is in use, by the user's own configuration or by another machine
	SSHShadowed         Code = "ssh.shadowed"            // ssh understands the entry differently, because of another entry
	SSHPathTooLong      Code = "ssh.path_too_long"       // the path of a control socket would be longer than ssh allows
	SSHUnreachable      Code = "ssh.unreachable"         // the guest's SSH server, or an ssh master, does not answer
	SSHHostKey          Code = "ssh.host_key_mismatch"   // the guest proved another host key than the pinned one
	ForwardConflict     Code = "forward.conflict"        // the guest or the machine already listens there
	ForwardNotFound     Code = "forward.not_found"       // the machine has no such forward
	ConfigInvalid       Code = "config.invalid"          // config.toml, an option or the environment is wrong
	DaemonRunning       Code = "daemon.running"          // a daemon is already running
	DaemonUnreachable   Code = "daemon.unreachable"      // no daemon answers, or the connection broke
	DaemonSilent        Code = "daemon.silent"           // a daemon accepts connections but does not answer: it is stopped, or hangs
	PeerRefused         Code = "daemon.peer_refused"     // the client belongs to another user
	PathTooLong         Code = "path.too_long"           // a path is too long for a socket
)

// Error is a problem, as the data of an error and within other values.
type Error struct {
	// Code is a dotted word, stable across versions.
	Code Code `json:"code"`
	// Message says what failed; absent in the data of an error, which has a message itself.
	Message string `json:"message,omitempty"`
	// Hint says what to do about it.
	Hint string `json:"hint,omitempty"`
	// Retryable: the same request may succeed later without a change.
	Retryable bool `json:"retryable"`
	// Operation that failed, if one did.
	Operation string `json:"operation,omitempty"`
	// Err is the cause, for logs and errors.Is; may be nil. It is not sent.
	Err error `json:"-"`
}

// New makes an Error with a formatted message. A %w verb keeps the cause.
func New(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Message: err.Error(), Err: errors.Unwrap(err)}
}

// BadField makes the Error of a request whose field is missing or has the wrong form.
// The message begins with the name of the field.
func BadField(field, format string, args ...any) *Error {
	return New(BadParams, "%s: %s", field, fmt.Sprintf(format, args...))
}

// WithHint adds what the user can do.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// Retry marks the problem as one that may be transient.
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
