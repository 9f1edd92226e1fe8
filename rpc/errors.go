package rpc

import (
	"encoding/json"

	"github.com/sourcegraph/jsonrpc2"
	"go.lsp.dev/protocol"

	"github.com/nixvm/nixvm/internal/problem"
)

// The error numbers of JSON-RPC 2.0 and LSP 3.17 that the daemon sends.
const (
	CodeParseError       = jsonrpc2.CodeParseError
	CodeInvalidRequest   = jsonrpc2.CodeInvalidRequest
	CodeMethodNotFound   = jsonrpc2.CodeMethodNotFound
	CodeInvalidParams    = jsonrpc2.CodeInvalidParams
	CodeInternalError    = jsonrpc2.CodeInternalError
	CodeNotInitialized   = -32002 // ServerNotInitialized
	CodeRequestCancelled = int64(protocol.CodeRequestCancelled)
	CodeServerCancelled  = -32802 // the daemon stops; not in LSP 3.15
	CodeRequestFailed    = -32803 // not in LSP 3.15
)

// Codes of the session itself, besides those of internal/problem.
const (
	ProblemParse           problem.Code = "session.parse_error"          // framing or JSON is wrong; after wrong framing the session ends
	ProblemRequest         problem.Code = "session.invalid_request"      // not a request of JSON-RPC 2.0, or one that may not be sent now
	ProblemMethod          problem.Code = "session.method_unknown"       // this daemon does not have the method
	ProblemNotInitialized  problem.Code = "session.not_initialized"      // a request before initialize
	ProblemShutDown        problem.Code = "session.shut_down"            // a request after shutdown
	ProblemProtocol        problem.Code = "session.protocol_unsupported" // no protocol version in common
	ProblemTooManyRequests problem.Code = "session.too_many_requests"    // too many requests of this client wait for an answer
	ProblemStopping        problem.Code = "daemon.stopping"              // the daemon ends; operations are taken up by the next one
)

// Number maps a problem to the error number that generic LSP clients understand.
func Number(code problem.Code) int64 {
	switch code {
	case problem.Cancelled:
		return CodeRequestCancelled
	case problem.Internal:
		return CodeInternalError
	case problem.BadParams, problem.ConfirmRequired, problem.MachineNameInvalid, problem.SnapshotNameInvalid,
		problem.SizeInvalid, problem.ProfileUnknown, problem.ProfileConflict, problem.BackendUnknown, problem.ModeUnsupported, ProblemProtocol:
		return CodeInvalidParams
	case ProblemParse:
		return CodeParseError
	case ProblemRequest, ProblemShutDown:
		return CodeInvalidRequest
	case ProblemMethod:
		return CodeMethodNotFound
	case ProblemNotInitialized:
		return CodeNotInitialized
	case ProblemStopping:
		return CodeServerCancelled
	}
	return CodeRequestFailed
}

// wireError turns any error into what is sent.
func wireError(err error) *jsonrpc2.Error {
	p := problem.From(err)
	data := problem.Error{Code: p.Code, Hint: plainText(p.Hint), Retryable: p.Retryable, Operation: p.Operation}
	e := &jsonrpc2.Error{Code: Number(p.Code), Message: plainText(p.Message)}
	e.SetError(data)
	return e
}

// ProblemOf turns an error answer back into a problem. An error without our
// data (another program answered) keeps its number in the message.
func ProblemOf(e *jsonrpc2.Error) *problem.Error {
	var p problem.Error
	if e.Data != nil && json.Unmarshal(*e.Data, &p) == nil && p.Code != "" {
		p.Message, p.Operation, p.Err = e.Message, "", e // the caller knows what it asked for
		return &p
	}
	return problem.New(problem.Internal, "%w", e)
}
