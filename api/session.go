package api

// ProtocolVersion is the version of the nixvm/ methods. It grows only when an
// older client would misunderstand a newer daemon; new methods and new optional
// fields do not change it.
const ProtocolVersion = 1

// Revision counts the additions to the protocol version: optional fields and
// methods that an older daemon of the same version does not have. The protocol
// page lists what came with each.
const Revision = 2

// ClientInfo identifies a client.
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

// InitializationOptions are the options of a session.
type InitializationOptions struct {
	// ProtocolVersions that the client supports; absent = any. It is an error if there
	// is no common version.
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
	// ClientInfo identifies the client; operations record it.
	ClientInfo ClientInfo `json:"clientInfo,omitzero"`
	// Capabilities of the client.
	Capabilities ClientCapabilities `json:"capabilities,omitzero"`
	// InitializationOptions are ours.
	InitializationOptions InitializationOptions `json:"initializationOptions,omitzero"`
}

// Validate implements Params.
func (p InitializeParams) Validate() error { return nil }

// InitializeResult is the capabilities of the daemon.
type InitializeResult struct {
	// Capabilities holds ours under "experimental", as LSP requires.
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

// Capabilities are what this daemon offers. A client offers its user nothing
// else.
type Capabilities struct {
	// ProtocolVersion of the nixvm/ methods.
	ProtocolVersion int `json:"protocolVersion"`
	// Revision of the protocol version: 2 or more has the verbs, and the actions of
	// machines. Absent in the first.
	Revision int `json:"revision"`
	// Methods that the daemon answers.
	Methods []string `json:"methods"`
	// Verbs are the actions on machines, in display order. A client can offer one that it
	// does not know by its title.
	Verbs []Verb `json:"verbs"`
	// Backends that are configured, with what each can do.
	Backends []Backend `json:"backends"`
	// SSHConfigFile is the path of the SSH configuration that the daemon writes,
	// for clients that list hosts without following Include (TRAMP).
	SSHConfigFile string `json:"sshConfigFile,omitempty"`
	// Defaults of nixvm/vm/create, for clients that preview the new machine.
	Defaults CreateDefaults `json:"defaults"`
}

// CreateDefaults are the values of unset options of create: [defaults] of
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
