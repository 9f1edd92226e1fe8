package api

// Verb is something that can be done with a machine. Whether it can be done with
// one now is among the actions of that machine.
type Verb struct {
	// Key of the verb, e.g. "start": what actions of machines and backends hold.
	Key string `json:"key"`
	// Method that does it, with the name of the machine as "name".
	Method string `json:"method"`
	// Title for people, e.g. "Take Snapshot".
	Title string `json:"title"`
	// Operation: the method begins an operation.
	Operation bool `json:"operation,omitempty"`
	// Needs says what it takes, for people who look for it where it is not offered.
	Needs string `json:"needs,omitempty"`
}
