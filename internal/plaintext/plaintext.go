// Package plaintext makes text of other programs (builders, guests, tools) fit
// for people to read: such text may hold anything, also what moves a terminal's
// cursor, changes its colours or turns the direction of writing.
package plaintext

import (
	"strings"
	"unicode"
)

// Line makes s one line without control sequences and control characters; tabs
// stay. What is longer than limit bytes is cut, with "…" at the end.
func Line(s string, limit int) string {
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + "…"
	}
	if !strings.ContainsFunc(s, unwanted) {
		return s
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return ' '
		case unwanted(r):
			return -1
		}
		return r
	}, stripEscapes(s))
}

// Lines is Line for each line of s.
func Lines(s string, limit int) string {
	if !strings.Contains(s, "\n") {
		return Line(s, limit)
	}
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = Line(lines[i], limit)
	}
	return strings.Join(lines, "\n")
}

func unwanted(r rune) bool {
	return unicode.IsControl(r) && r != '\t' || unicode.Is(unicode.Bidi_Control, r)
}

// stripEscapes removes ANSI control sequences (ECMA-48: ESC [ parameters,
// intermediates, one final byte) so that their parameters do not stay behind.
func stripEscapes(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != 0x1b {
			b.WriteByte(s[i])
			continue
		}
		if i+1 < len(s) && s[i+1] == '[' {
			for i += 2; i < len(s) && (s[i] < 0x40 || s[i] > 0x7e); i++ {
			}
		}
	}
	return b.String()
}
