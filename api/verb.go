package api

// Verb is an action on a machine. Whether it is possible on a machine now is among the
// actions of that machine.
type Verb struct {
	// Key of the verb, e.g. "start", as listed in the actions of machines and backends.
	Key string `json:"key"`
	// Method of the verb, with the name of the machine as "name".
	Method string `json:"method"`
	// Title for display, e.g. "Take Snapshot".
	Title string `json:"title"`
	// Operation: the method begins an operation.
	Operation bool `json:"operation,omitempty"`
	// Needs is its requirement, for users who miss it where it is not offered.
	Needs string `json:"needs,omitempty"`
}
