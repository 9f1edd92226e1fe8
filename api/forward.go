package api

// Forward is a remote forward: a port or socket in the guest that leads to the host.
type Forward struct {
	// Listen in the guest: "[bind:]port" or the absolute path of a socket; for a line
	// that is not a forward, the line itself.
	Listen string `json:"listen"`
	// Target on the host: "host:port" or the absolute path of a socket.
	Target string `json:"target"`
	// Daemon: held by the daemon's own connection instead of the Host block.
	Daemon bool `json:"daemon"`
	// State is "config" (in the Host block), "active", "conflict", "lost", "off", or
	// "invalid" (a line of the file that is not a forward, and has no effect).
	State string `json:"state"`
	// Detail of the state, for people.
	Detail string `json:"detail,omitempty"`
}

// ForwardListResult is the forwards of one machine.
type ForwardListResult struct {
	// Forwards in the order of the file remote_forwards.
	Forwards []Forward `json:"forwards"`
	// Opened ports and sockets of the host that lead into the guest: what clients
	// (ssh -L, ssh -D) opened on a shared connection, which stay open until it ends.
	Opened []OpenedPort `json:"opened,omitempty"`
}

// OpenedPort is a port or socket of the host that leads into a guest.
type OpenedPort struct {
	// Listen on the host: address:port, or the path of a socket.
	Listen string `json:"listen"`
	// Account in the guest that the connection belongs to.
	Account string `json:"account,omitempty"`
}

// ForwardParams names one forward of a machine.
type ForwardParams struct {
	Tokens
	// Name of the machine.
	Name string `json:"name"`
	// Forward in the syntax of RemoteForward in ssh_config(5), e.g. "8080 localhost:80";
	// with a trailing "daemon", the daemon holds it.
	Forward string `json:"forward"`
}

// Validate implements Params.
func (p ForwardParams) Validate() error {
	return firstOf(p.Fields())
}

// Fields checks the form of each.
func (p ForwardParams) Fields() []FieldCheck {
	return []FieldCheck{{"name", checkName(p.Name)}, {"forward", checkRequired("forward", p.Forward)}, {"forward", checkLine("forward", p.Forward)}}
}
