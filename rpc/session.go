package rpc

import (
	"encoding/json"

	"go.lsp.dev/protocol"

	"github.com/nixvm/nixvm/api"
)

// ProtocolVersion is the version of the nixvm/ methods. It grows only when an
// older client would misunderstand a newer daemon; new methods and new optional
// fields do not change it.
const ProtocolVersion = 1

// Revision counts the additions to the protocol version: optional fields and
// methods that an older daemon of the same version does not have. The protocol
// page lists what came with each.
const Revision = 2

// ClientInfo says who a client is.
type ClientInfo struct {
	// Name of the program, e.g. "Emacs" or "nixvmd create".
	Name string `json:"name"`
	// Version of the program.
	Version string `json:"version,omitempty"`
}

// WindowCapabilities is the part of the LSP client capabilities that is read.
type WindowCapabilities struct {
	// WorkDoneProgress: the client answers window/workDoneProgress/create.
	WorkDoneProgress bool `json:"workDoneProgress,omitempty"`
}

// ClientCapabilities are the LSP client capabilities; all others are ignored.
type ClientCapabilities struct {
	// Window holds what the client's user interface can do.
	Window WindowCapabilities `json:"window,omitzero"`
}

// InitializationOptions are what a client may ask of the session.
type InitializationOptions struct {
	// ProtocolVersions the client understands; absent = any. No common version
	// is an error.
	ProtocolVersions []int `json:"protocolVersions,omitempty"`
	// OperationLog: send the output of the tools that operations run as
	// window/logMessage.
	OperationLog bool `json:"operationLog,omitempty"`
}

// InitializeParams begins a session. Fields of LSP that are not listed here are
// accepted and ignored.
type InitializeParams struct {
	// ProcessID of the client; for the log only.
	ProcessID *int `json:"processId,omitempty"`
	// ClientInfo says who asks; operations remember it.
	ClientInfo ClientInfo `json:"clientInfo,omitzero"`
	// Capabilities of the client.
	Capabilities ClientCapabilities `json:"capabilities,omitzero"`
	// InitializationOptions are ours.
	InitializationOptions InitializationOptions `json:"initializationOptions,omitzero"`
}

// Validate implements params.
func (p InitializeParams) Validate() error { return nil }

// InitializeResult says what the daemon can do.
type InitializeResult struct {
	// Capabilities holds ours under "experimental", as LSP asks.
	Capabilities ServerCapabilities `json:"capabilities"`
	// ServerInfo names the daemon.
	ServerInfo ServerInfo `json:"serverInfo"`
}

// ServerInfo names the daemon.
type ServerInfo struct {
	// Name is "nixvmd".
	Name string `json:"name"`
	// Version of the daemon.
	Version string `json:"version"`
}

// ServerCapabilities is LSP's object of that name.
type ServerCapabilities struct {
	// Experimental holds the part that is not LSP.
	Experimental ExperimentalCapabilities `json:"experimental"`
}

// ExperimentalCapabilities holds ours.
type ExperimentalCapabilities struct {
	// Nixvm is what this daemon offers.
	Nixvm Capabilities `json:"nixvm"`
}

// Capabilities say what this daemon offers. A client offers its user nothing
// that is not here.
type Capabilities struct {
	// ProtocolVersion of the nixvm/ methods.
	ProtocolVersion int `json:"protocolVersion"`
	// Revision of the protocol version: 2 or more has the verbs, and the actions of
	// machines. Absent in the first.
	Revision int `json:"revision"`
	// Methods that the daemon answers.
	Methods []string `json:"methods"`
	// Verbs are what can be done with machines, in the order in which to offer it. One
	// that a client does not know can be offered by its title.
	Verbs []Verb `json:"verbs"`
	// Backends that are configured, with what each can do.
	Backends []Backend `json:"backends"`
	// SSHConfigFile is the path of the SSH configuration that the daemon writes,
	// for clients that list hosts without following Include (TRAMP).
	SSHConfigFile string `json:"sshConfigFile,omitempty"`
	// Defaults of nixvm/vm/create, for clients that show what would be made.
	Defaults CreateDefaults `json:"defaults"`
}

// CreateDefaults are what create takes when it is not told: [defaults] of
// config.toml.
type CreateDefaults struct {
	// Image is the kind, or a file or URL; absent = nixos where it can be built,
	// else trial.
	Image string `json:"image,omitempty"`
	// Profiles of the image.
	Profiles []string `json:"profiles"`
	// Mode is "immutable", "semi-mutable" or "mutable".
	Mode string `json:"mode"`
	// MemoryMiB is the memory in MiB.
	MemoryMiB int `json:"memoryMiB"`
	// VCPUs is the number of virtual CPUs.
	VCPUs int `json:"vcpus"`
	// DiskBytes is the virtual size of the state disk in bytes.
	DiskBytes int64 `json:"diskBytes"`
	// Network is "nat" or "bridge:<interface>".
	Network string `json:"network"`
}

// VersionResult is the answer to nixvm/version.
type VersionResult struct {
	// Version of the daemon.
	Version string `json:"version"`
	// ProtocolVersion of the nixvm/ methods.
	ProtocolVersion int `json:"protocolVersion"`
	// PID of the daemon.
	PID int `json:"pid"`
}

// Health is how well the daemon can do its work.
type Health string

// The healths.
const (
	HealthOK      Health = "ok"
	HealthWarning Health = "warning" // something does not work: see message, ask doctor
)

// ServerStatusParams is the state of the daemon as a whole.
type ServerStatusParams struct {
	// Health is "ok" or "warning".
	Health Health `json:"health"`
	// Quiescent: no operation runs.
	Quiescent bool `json:"quiescent"`
	// Message says what is wrong, for people.
	Message string `json:"message,omitempty"`
}

// DidChangeParams tells what changed. The first one of a session has full set
// and replaces all that the client knew; later ones are deltas.
type DidChangeParams struct {
	// Full: machines and operations are complete.
	Full bool `json:"full,omitempty"`
	// Machines is every machine, ordered by name; only when full.
	Machines []Machine `json:"machines,omitempty"`
	// Changed machines, each complete; new ones too.
	Changed []Machine `json:"changed,omitempty"`
	// Removed machines, by name.
	Removed []string `json:"removed,omitempty"`
	// Operations that run or are unresolved, when full; otherwise those that
	// began, moved, ended, or became or ceased to be unresolved.
	Operations []api.Operation `json:"operations,omitempty"`
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
	// Title says what is done, e.g. "Create demo"; only in begin.
	Title string `json:"title,omitempty"`
	// Cancellable: window/workDoneProgress/cancel cancels the operation.
	Cancellable bool `json:"cancellable,omitempty"`
	// Message is one line for people; absent = the last one still holds.
	Message string `json:"message,omitempty"`
	// Percentage from 0 to 100, never smaller than before; absent = unknown.
	Percentage *int `json:"percentage,omitempty"`
	// Operation is the id of the operation; ours, in begin.
	Operation string `json:"operation,omitempty"`
}

// WorkDoneProgressCreateParams is LSP's request to the client for a token.
type WorkDoneProgressCreateParams struct {
	// Token that reports will carry.
	Token Token `json:"token"`
}

// WorkDoneProgressCancelParams cancels the operation behind a token.
type WorkDoneProgressCancelParams struct {
	// Token of the progress.
	Token Token `json:"token"`
}

// Validate implements params.
func (p WorkDoneProgressCancelParams) Validate() error { return nil }

// CancelParams is LSP's $/cancelRequest.
type CancelParams struct {
	// ID of the request: a number or a string.
	ID json.RawMessage `json:"id"`
}

// Validate implements params.
func (p CancelParams) Validate() error { return nil }

// MessageParams is LSP's window/showMessage and window/logMessage.
type MessageParams struct {
	// Type is 1 error, 2 warning, 3 info, 4 log.
	Type protocol.MessageType `json:"type"`
	// Message is for people. Output of tools and guests is untrusted text;
	// control characters have been removed.
	Message string `json:"message"`
	// Operation that the message belongs to; ours.
	Operation string `json:"operation,omitempty"`
	// Vertex of the operation that wrote the line, e.g. "image"; ours.
	Vertex string `json:"vertex,omitempty"`
}
