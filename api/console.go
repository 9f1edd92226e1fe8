package api

// ConsoleParams requests a console.
type ConsoleParams struct {
	Tokens
	// Name of the machine.
	Name string `json:"name"`
	// Raw: the unfiltered output of the guest. Without it, only text, colours and cursor
	// movement pass; no titles, no clipboard, no queries.
	Raw bool `json:"raw,omitempty"`
}

// Validate implements Params.
func (p ConsoleParams) Validate() error { return checkName(p.Name) }

// ConsoleResult says where the console is.
type ConsoleResult struct {
	// Socket is the path of a unix socket that accepts one connection of this
	// user, within 30 seconds, and carries the bytes of the serial console.
	Socket string `json:"socket"`
}
