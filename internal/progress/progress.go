// Package progress carries the progress of a long operation from the part that
// performs it to the watchers.
//
// The model is a list of named vertices (a build, an upload, a boot), each with
// a count towards a total, and log lines. A Reporter may be nil: every method
// of a nil Reporter does nothing, so that callers need no special case.
package progress

// Update is one report. Zero fields say nothing new.
type Update struct {
	Vertex  string // what is being worked on, e.g. "image", "boot"; stable within one operation
	Message string // one line for people
	Current int64  // how much is done, in Unit
	Total   int64  // of how much; 0 = unknown
	Unit    string // "bytes", "steps", "packages"; empty = plain count
	Log     string // one line of output of the underlying tool, untrusted text
	Done    bool   // the vertex is finished
}

// Reporter receives updates. It must not block and may be called from several
// goroutines at once.
type Reporter func(Update)

// Report sends u unless the reporter is nil.
func (r Reporter) Report(u Update) {
	if r != nil {
		r(u)
	}
}

// Message reports one line about a vertex.
func (r Reporter) Message(vertex, message string) {
	r.Report(Update{Vertex: vertex, Message: message})
}

// Log reports one line of tool output.
func (r Reporter) Log(vertex, line string) { r.Report(Update{Vertex: vertex, Log: line}) }
