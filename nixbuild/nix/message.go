package nix

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"unicode/utf8"
)

// The types of activities and results that mean something to us (nix,
// src/libutil/logging.hh).
const (
	actCopyPath     = 100
	actFileTransfer = 101
	actCopyPaths    = 103
	actBuilds       = 104
	actBuild        = 105

	resBuildLogLine     = 101
	resSetPhase         = 104
	resProgress         = 105
	resSetExpected      = 106
	resPostBuildLogLine = 107
)

// linePrefix stands before every object on the standard error.
var linePrefix = []byte("@nix ")

// message is one line of internal-json; the action says which fields count.
type message struct {
	Action string            `json:"action"` // "start", "result", "stop", "msg"
	ID     uint64            `json:"id"`
	Type   int               `json:"type"`
	Level  int               `json:"level"`
	Text   string            `json:"text"`
	Fields []json.RawMessage `json:"fields"`
	Msg    string            `json:"msg"`
	RawMsg string            `json:"raw_msg"`
	File   string            `json:"file"` // of an error: where it is
	Line   int               `json:"line"`
	Column int               `json:"column"`
}

// parse reads one line. A field of another shape than we know is left out: only
// what is no object at all is refused.
func parse(line []byte) (m message, ok bool) {
	body, ok := bytes.CutPrefix(line, linePrefix)
	if !ok {
		return m, false
	}
	err := json.Unmarshal(body, &m)
	var shape *json.UnmarshalTypeError
	if err != nil && !errors.As(err, &shape) {
		return message{}, false
	}
	return m, m.Action != ""
}

// parseOutput reads a line of a builder's output, which is what nearly all of a
// log is, exactly as nix writes it when nothing in it is escaped. Anything else
// is for parse.
func parseOutput(line []byte) (text string, id uint64, ok bool) {
	rest, ok := bytes.CutPrefix(line, []byte(`@nix {"action":"result","fields":["`))
	if !ok {
		return "", 0, false
	}
	rest, ok = bytes.CutSuffix(bytes.TrimSuffix(rest, []byte("\n")), []byte(`,"type":101}`))
	if !ok {
		return "", 0, false
	}
	raw, number, ok := bytes.Cut(rest, []byte(`"],"id":`))
	if !ok || bytes.ContainsFunc(raw, func(r rune) bool { return r == '"' || r == '\\' || r < ' ' || r == utf8.RuneError }) {
		return "", 0, false
	}
	id, err := strconv.ParseUint(string(number), 10, 64)
	return string(raw), id, err == nil
}

// text returns the first field, which is a string.
func (m message) text() string {
	var s string
	if len(m.Fields) > 0 && json.Unmarshal(m.Fields[0], &s) != nil {
		return ""
	}
	return s
}

// number returns a field that is a count.
func (m message) number(i int) int64 {
	var n int64
	if i < len(m.Fields) && json.Unmarshal(m.Fields[i], &n) != nil || n < 0 {
		return 0
	}
	return n
}
