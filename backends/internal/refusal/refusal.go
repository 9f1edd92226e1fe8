// Package refusal holds the refusals that all backends have in common, so that a
// user reads the same sentence and the same hint whichever backend has the VM.
//
// Each function returns a problem with the code that the contract of
// backends.Backend names for the case. Names of VMs and snapshots have been
// validated; sizes are in bytes.
package refusal

import (
	"errors"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/internal/problem"
)

// MayStillHappen begins the hint of a change that was asked for and has no answer in
// its time: it cannot be taken back.
const MayStillHappen = "the request may still take effect"

// NotFound refuses a VM that the backend does not have.
func NotFound(vm string) *problem.Error {
	return problem.New(problem.VMNotFound, "there is no VM %s on this backend", vm)
}

// Exists refuses to make a VM whose name is in use on the backend.
func Exists(vm string) *problem.Error {
	return problem.New(problem.VMExists, "VM %s already exists", vm).WithHint("destroy it first, or choose another name")
}

// Running refuses what needs the VM to be off. what names it in the hint: "a restore".
func Running(vm, what string) *problem.Error {
	return problem.New(problem.VMRunning, "VM %s is running", vm).WithHint("stop it before %s", what)
}

// NotRunning refuses what needs the VM to run.
func NotRunning(vm string) *problem.Error {
	return problem.New(problem.VMNotRunning, "VM %s is not running", vm).WithHint("nixvmd start %s", vm)
}

// Suspended refuses what needs the virtual CPUs to run.
func Suspended(vm string) *problem.Error {
	return problem.New(problem.VMNotRunning, "VM %s is suspended", vm).WithHint("nixvmd resume %s", vm)
}

// NoAddress refuses to name the endpoint of a guest whose address is not known
// yet. err says why, and may be nil.
func NoAddress(vm string, err error) *problem.Error {
	p := problem.New(problem.VMNotReady, "VM %s has no address yet", vm).
		WithHint("wait until it has booted; the address may need a running guest agent").Retry()
	p.Err = err
	return p
}

// StillOn says that the guest did not power off in time. cause is that of the
// context which ended.
func StillOn(vm string, cause error) *problem.Error {
	return problem.New(problem.VMStopTimeout, "VM %s has not powered off: %w", vm, cause).
		WithHint("wait and stop it again, or kill it")
}

// OtherMode refuses a VM of another mode than the machine's. hint says what to do.
func OtherMode(vm, hint string) *problem.Error {
	return problem.New(problem.ModeUnsupported, "VM %s was created in another mode", vm).WithHint("%s", hint)
}

// Broken refuses a VM whose files or record cannot be used, with the code of what
// was asked for.
func Broken(code problem.Code, vm string, err error) *problem.Error {
	return problem.New(code, "VM %s is broken: %w", vm, err)
}

// Shrunk refuses a state disk of to bytes where the VM has one of from bytes that
// is larger; nil = it fits.
func Shrunk(from, to int64) error {
	if to >= from {
		return nil
	}
	return problem.New(problem.SizeInvalid, "the disk has %d MiB and cannot shrink to %d MiB", from>>20, to>>20).
		WithHint("a disk can only grow")
}

// TooSmall refuses a disk that cannot hold the image it is to be a copy of; nil =
// it can.
func TooSmall(disk, image int64) error {
	if disk >= image {
		return nil
	}
	return problem.New(problem.SizeInvalid, "a disk of %d MiB cannot hold the image of %d MiB", disk>>20, image>>20).
		WithHint("choose a larger disk")
}

// SnapshotExists refuses a snapshot under a name that is in use.
func SnapshotExists(vm, snapshot string) *problem.Error {
	return problem.New(problem.SnapshotExists, "VM %s already has a snapshot %q", vm, snapshot).
		WithHint("choose another name, or delete that one first")
}

// SnapshotNotFound refuses a snapshot that the VM does not have.
func SnapshotNotFound(vm, snapshot string) *problem.Error {
	return problem.New(problem.SnapshotNotFound, "VM %s has no snapshot %q", vm, snapshot)
}

// SnapshotFailed is what becomes of an error of the hypervisor: a problem stays
// what it is, anything else is snapshot.failed.
func SnapshotFailed(vm string, err error) error {
	err = DiskFull(err)
	if p := problem.From(err); p.Code != problem.Internal {
		return err
	}
	return problem.New(problem.SnapshotFailed, "snapshot of VM %s: %w", vm, err)
}

// DiskFull gives an error that says "no space left" the code which says so. Others
// are returned as they are, and so is nil. Programs say it in their output, in
// English where LC_ALL is C; system calls say it by their number.
func DiskFull(err error) error {
	if err == nil || problem.HasCode(err, problem.DiskFull) {
		return err
	}
	if !errors.Is(err, unix.ENOSPC) && !SaysFull(err.Error()) {
		return err
	}
	return problem.New(problem.DiskFull, "%w", err).WithHint("free some space on the disk that holds the VMs")
}

// SaysFull reports whether the output of a program says that a disk is full.
func SaysFull(text string) bool {
	return strings.Contains(strings.ToLower(text), "no space left on device")
}
