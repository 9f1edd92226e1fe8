// Package plaintext makes text of other programs (builders, guests, tools) safe to
// display: such text may contain anything, including sequences that move a terminal's
// cursor, change its colours or reverse the direction of writing.
package plaintext

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Line makes s one line of valid UTF-8 without control sequences and control
// characters; tabs stay. What is longer than limit bytes is cut, with "…" at the
// end: no result is longer than both together.
func Line(s string, limit int) string {
	// Two cuts: the first bounds the work, the second the result, in which each
	// byte that was no text takes three.
	whole := len(s) <= limit
	if !whole {
		s = s[:boundary(s, limit)]
	}
	s = clean(s)
	if len(s) > limit {
		s, whole = s[:boundary(s, limit)], false
	}
	if whole {
		return s
	}
	return s + "…"
}

// boundary is the largest index of at most limit at which no character is cut.
func boundary(s string, limit int) int {
	for i := limit; i > limit-utf8.UTFMax && i > 0; i-- {
		if utf8.RuneStart(s[i]) {
			return i
		}
	}
	return limit // not text in any case
}

func clean(s string) string {
	if !strings.ContainsFunc(s, unwanted) && utf8.ValidString(s) {
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
