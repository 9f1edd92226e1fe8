package pvesim

import (
	"errors"
	"fmt"
	"strings"
)

// An apiError is an answer other than 200.
type apiError struct {
	status  int
	message string
	// parameters are the messages by parameter of a 400.
	parameters map[string]string
	// bare errors have only a reason phrase, and an empty body.
	bare bool
	// text errors have the message as plain text for a body.
	text bool
}

func (e *apiError) Error() string { return e.message }

// failf is what a Perl die becomes: status 500 (recorded 32, 53).
func failf(format string, args ...any) error {
	return &apiError{status: 500, message: fmt.Sprintf(format, args...)}
}

// denied is a 403. Without a path the message names nothing (recorded 8, 140).
func denied(path string, privileges ...string) error {
	if path == "" {
		return &apiError{status: 403, message: "Permission check failed"}
	}
	return &apiError{status: 403, message: fmt.Sprintf("Permission check failed (%s, %s)", path, strings.Join(privileges, "|"))}
}

// invalid is a 400 with the messages of the parameters (recorded 34, 36).
func invalid(parameters map[string]string) error {
	return &apiError{status: 400, message: "Parameter verification failed.", parameters: parameters}
}

func invalidParameter(name, message string) error {
	return invalid(map[string]string{name: message})
}

func bare(status int, reason string) error {
	return &apiError{status: status, message: reason, bare: true}
}

// answer makes the response of an error. The reason phrase carries the first
// line of the message, the body all of it with a newline at its end (recorded
// 34, 449); only that of an unknown path has no newline (recorded 37).
func (e *apiError) answer() response {
	reason, _, _ := strings.Cut(e.message, "\n")
	r := response{status: e.status, reason: reason}
	switch {
	case e.bare:
	case e.text:
		r.kind, r.body = "text/plain;charset=UTF-8", []byte(e.message+"\n") // recorded 40
	default:
		body := map[string]any{"data": nil, "message": e.message}
		if e.status != 501 {
			body["message"] = e.message + "\n"
		}
		if e.parameters != nil {
			body["errors"] = e.parameters
		}
		r.body = encode(body)
	}
	return r
}

func answerError(err error) response {
	var known *apiError
	if errors.As(err, &known) {
		return known.answer()
	}
	return (&apiError{status: 500, message: err.Error()}).answer()
}
