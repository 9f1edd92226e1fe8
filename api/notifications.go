package api

import (
	"encoding/json"

	"go.lsp.dev/protocol"
)

// ServerStatusParams is the state of the daemon as a whole.
type ServerStatusParams struct {
	// Health is "ok" or "warning".
	Health Health `json:"health"`
	// Quiescent: no operation is running.
	Quiescent bool `json:"quiescent"`
	// Message describes the problem, for display.
	Message string `json:"message,omitempty"`
}

// DidChangeParams is a change of state. The first one of a session has full set
// and replaces the entire state of the client; later ones are deltas.
type DidChangeParams struct {
	// Full: machines and operations are complete.
	Full bool `json:"full,omitempty"`
	// Machines is every machine, ordered by name; only when full.
	Machines []Machine `json:"machines,omitempty"`
	// Changed machines, each complete, including new ones.
	Changed []Machine `json:"changed,omitempty"`
	// Removed machines, by name.
	Removed []string `json:"removed,omitempty"`
	// Operations that are running or unresolved, when full; otherwise those that
	// began, progressed, ended, or became or ceased to be unresolved.
	Operations []Operation `json:"operations,omitempty"`
	// Backends are all that are configured, as in the answer to initialize: when full, and
	// whenever one of them supports other verbs, or has or no longer has a problem.
	Backends []Backend `json:"backends,omitempty"`
}

// ProgressParams is LSP's $/progress.
type ProgressParams struct {
	// Token of the request, or of window/workDoneProgress/create.
	Token Token `json:"token"`
	// Value is the report.
	Value WorkDoneProgress `json:"value"`
}

// WorkDoneProgress is LSP's WorkDoneProgressBegin, Report and End in one. It is
// not the type of go.lsp.dev/protocol because that one cannot send 0 percent.
type WorkDoneProgress struct {
	// Kind is "begin", "report" or "end".
	Kind protocol.WorkDoneProgressKind `json:"kind"`
	// Title of the operation, e.g. "Create demo"; only in begin.
	Title string `json:"title,omitempty"`
	// Cancellable: window/workDoneProgress/cancel cancels the operation.
	Cancellable bool `json:"cancellable,omitempty"`
	// Message is one line for display; absent = unchanged.
	Message string `json:"message,omitempty"`
	// Percentage from 0 to 100, never decreases; absent = unknown.
	Percentage *int `json:"percentage,omitempty"`
	// Operation is the id of the operation; ours, in begin.
	Operation string `json:"operation,omitempty"`
}

// WorkDoneProgressCreateParams is LSP's request to the client for a token.
type WorkDoneProgressCreateParams struct {
	// Token of the reports.
	Token Token `json:"token"`
}

// WorkDoneProgressCancelParams cancels the operation behind a token.
type WorkDoneProgressCancelParams struct {
	// Token of the progress.
	Token Token `json:"token"`
}

// Validate implements Params.
func (p WorkDoneProgressCancelParams) Validate() error { return nil }

// CancelParams is LSP's $/cancelRequest.
type CancelParams struct {
	// ID of the request: a number or a string.
	ID json.RawMessage `json:"id"`
}

// Validate implements Params.
func (p CancelParams) Validate() error { return nil }

// MessageParams is LSP's window/showMessage and window/logMessage.
type MessageParams struct {
	// Type is 1 error, 2 warning, 3 info, 4 log.
	Type protocol.MessageType `json:"type"`
	// Message for display. Output of tools and guests is untrusted text;
	// control characters have been removed.
	Message string `json:"message"`
	// Operation that the message belongs to; ours.
	Operation string `json:"operation,omitempty"`
	// Vertex of the operation that wrote the line, e.g. "image"; ours.
	Vertex string `json:"vertex,omitempty"`
}
