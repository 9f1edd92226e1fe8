package pve

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// Error is an answer of the server that is no success.
type Error struct {
	Method, Path string
	Status       int
	Reason       string            // the reason phrase, which carries the first line of the message
	Message      string            // the message of the body; may be empty
	Params       map[string]string // what is wrong with which parameter
}

// Error is the server's own text.
func (e *Error) Error() string {
	text := e.Text()
	if text == "" {
		text = fmt.Sprintf("the answer has status %d without a message", e.Status)
	}
	return fmt.Sprintf("%s %s: %s", e.Method, e.Path, text)
}

// Text is what the server said, without the request.
func (e *Error) Text() string {
	text := e.Message
	if text == "" {
		text = e.Reason
	}
	var params []string
	for _, p := range slices.Sorted(maps.Keys(e.Params)) {
		params = append(params, p+": "+e.Params[p])
	}
	if len(params) > 0 {
		text += " (" + strings.Join(params, "; ") + ")"
	}
	return text
}

// LostError is a request without an answer: it may have taken effect.
type LostError struct {
	Method, Path string
	Err          error
}

func (e *LostError) Error() string {
	return fmt.Sprintf("%s %s: there is no answer: %v", e.Method, e.Path, e.Err)
}

func (e *LostError) Unwrap() error { return e.Err }

// unanswered is the error of a request that ended without an answer.
func (c *Client) unanswered(method, path string, err error) error {
	var untrusted *UntrustedError
	var secret *SecretError
	if errors.As(err, &untrusted) || errors.As(err, &secret) {
		return err // it was not sent
	}
	if u := asUntrusted(c.config.URL, err); u != nil {
		return u
	}
	return &LostError{Method: method, Path: path, Err: err}
}

// Lost reports whether a request may have taken effect although no answer, or only that of
// a proxy in front of the node, arrived: the connection ended, the time ran out, or the
// status is one of 595 to 599, with which a node says that it lost another node or its own
// worker.
func Lost(err error) bool {
	var lost *LostError
	var answer *Error
	switch {
	case errors.As(err, &lost):
		return true
	case errors.As(err, &answer):
		return answer.Status >= 595 && answer.Status <= 599
	}
	return false
}

// Denied reports whether the token lacks a privilege, and which, in the server's words:
// "/vms/200, VM.Snapshot". They are empty where it does not say.
func Denied(err error) (what string, denied bool) {
	var answer *Error
	if !errors.As(err, &answer) || answer.Status != http.StatusForbidden {
		return "", false
	}
	_, what, _ = strings.Cut(answer.Reason, "(")
	return strings.TrimSuffix(what, ")"), true
}

// Unauthenticated reports whether the server does not accept the token.
func Unauthenticated(err error) bool {
	var answer *Error
	return errors.As(err, &answer) && answer.Status == http.StatusUnauthorized
}

// text is what an error of the server or of a task says.
func text(err error) string {
	var answer *Error
	var task *TaskError
	switch {
	case errors.As(err, &answer):
		return answer.Text()
	case errors.As(err, &task):
		return task.Exit
	}
	return ""
}

// says reports whether an error of the server or of a task has one of the texts.
func says(err error, any ...string) bool {
	said := text(err)
	return slices.ContainsFunc(any, func(t string) bool { return strings.Contains(said, t) })
}

// NoVM reports whether the error says that there is no such VM. The status is 500, or the
// error is a task's.
func NoVM(err error) bool {
	said := text(err)
	return strings.HasPrefix(said, "Configuration file 'nodes/") && strings.Contains(said, "does not exist") ||
		strings.Contains(said, "unable to find configuration file for VM")
}

// IDTaken reports whether a VM has not been made because its number is in use.
func IDTaken(err error) bool {
	var answer *Error
	if errors.As(err, &answer) && strings.Contains(answer.Params["vmid"], "already exists") {
		return true
	}
	return says(err, "config file already exists") || says(err, "already exists on node") && says(err, "unable to create VM")
}

// Changed reports whether a change was refused because another client has changed the same
// file since its digest was read.
func Changed(err error) bool { return says(err, "checksum mismatch (file change by other user?)") }

// NotRunning reports whether the VM had to run and does not.
func NotRunning(err error) bool {
	said := text(err)
	return strings.HasPrefix(said, "VM ") && (strings.HasSuffix(said, " is not running") || strings.HasSuffix(said, " not running"))
}

// AgentAway reports whether the guest agent does not answer.
func AgentAway(err error) bool { return says(err, "QEMU guest agent is not running") }

// LockTimeout reports whether the server waited in vain for a lock that other requests for
// the VM hold for a moment. Nothing has been changed.
func LockTimeout(err error) bool { return says(err, "can't lock file '") && says(err, "got timeout") }

// LockedBy is the kind of task that has locked the VM, e.g. "snapshot"; empty = none has.
func LockedBy(err error) string {
	_, after, found := strings.Cut(text(err), "VM is locked (")
	if !found {
		return ""
	}
	kind, _, _ := strings.Cut(after, ")")
	return kind
}

// NoTask reports whether the server does not know a task, or not yet.
func NoTask(err error) bool {
	var answer *Error
	return errors.As(err, &answer) && strings.Contains(answer.Params["upid"], "no such task")
}

// Ended reports whether ctx, not the server, ended the request.
func Ended(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
