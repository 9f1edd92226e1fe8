package api

// Node is a host of a backend that consists of several.
type Node struct {
	// Name of the node.
	Name string `json:"name"`
	// Online: VMs can run there, and move there.
	Online bool `json:"online"`
}

// NodeListParams names a backend.
type NodeListParams struct {
	Tokens
	// Backend whose nodes are listed; absent: the default backend.
	Backend string `json:"backend,omitempty"`
}

// Validate implements Params.
func (p NodeListParams) Validate() error { return checkLine("backend", p.Backend) }

// NodeListResult is the nodes of a backend.
type NodeListResult struct {
	// Backend that was asked.
	Backend string `json:"backend"`
	// Nodes by name.
	Nodes []Node `json:"nodes"`
}
