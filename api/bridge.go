package api

// Bridge is a network bridge of the host of a backend.
type Bridge struct {
	// Name of the interface: the network "bridge:<name>" attaches a VM to it.
	Name string `json:"name"`
	// Up: it carries traffic. A bridge with no port that does is down; it comes up with
	// the first VM on it.
	Up bool `json:"up"`
	// Addresses of the host on it, with prefix lengths; absent if it has none, or if
	// the host does not report them.
	Addresses []string `json:"addresses,omitempty"`
	// Ports are the interfaces that it connects, sorted: network cards, and those of running VMs.
	Ports []string `json:"ports,omitempty"`
}

// BridgeListParams names a backend.
type BridgeListParams struct {
	Tokens
	// Backend whose host is asked; absent: the default backend.
	Backend string `json:"backend,omitempty"`
}

// Validate implements Params.
func (p BridgeListParams) Validate() error { return checkLine("backend", p.Backend) }

// BridgeListResult is the bridges of the host of a backend.
type BridgeListResult struct {
	// Backend whose host was asked.
	Backend string `json:"backend"`
	// Bridges by name.
	Bridges []Bridge `json:"bridges"`
}
