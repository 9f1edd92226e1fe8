package backends

import (
	"strings"
	"unicode"
)

// TextLimit bounds text of other programs that goes into a message.
const TextLimit = 400

// Output keeps the first 64 KiB that a program writes to it, and takes the rest.
type Output struct{ strings.Builder }

// Write never fails.
func (o *Output) Write(p []byte) (int, error) {
	if rest := 64<<10 - o.Len(); rest > 0 {
		o.Builder.Write(p[:min(len(p), rest)])
	}
	return len(p), nil
}

// OneLine makes foreign text fit for a message: one line, no control
// characters, bounded.
func OneLine(s string) string {
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
	if len(s) > TextLimit {
		s = strings.ToValidUTF8(s[:TextLimit], "") + "..."
	}
	return strings.TrimSpace(s)
}
