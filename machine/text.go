package machine

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// text is the content of one file, with the name that errors show.
type text struct {
	file string
	data []byte
}

// line is one line that means something, trimmed.
type line struct {
	number int
	text   string
}

// lines returns what is left of the file without blank lines and # comments.
// A byte order mark and CRLF are what editors leave, so they are accepted;
// other control characters and bytes that are not UTF-8 are refused, because
// every value may end up on a terminal or in a guest's file.
func (t text) lines() ([]line, error) {
	data := bytes.TrimPrefix(t.data, []byte("\xef\xbb\xbf"))
	var found []line
	number := 0
	for raw := range strings.SplitSeq(string(data), "\n") {
		number++
		s := strings.TrimSpace(strings.TrimSuffix(raw, "\r"))
		if s == "" || s[0] == '#' {
			continue
		}
		if !printable(s) {
			return nil, t.fault(number, "remove them; the file must be plain UTF-8 text", "it contains control characters or is not text")
		}
		found = append(found, line{number, s})
	}
	return found, nil
}

// value returns the only line of a file that holds one value; ok is false when
// there is none.
func (t text) value() (l line, ok bool, err error) {
	all, err := t.lines()
	if err != nil || len(all) == 0 {
		return line{}, false, err
	}
	if len(all) > 1 {
		return line{}, false, t.fault(all[1].number, "keep one of the lines; put # before the others", "the file holds more than one value")
	}
	return all[0], true, nil
}

// fault says what is wrong with a line, or with the file when number is 0.
func (t text) fault(number int, hint, format string, args ...any) *Fault {
	return &Fault{File: t.file, Line: number, Hint: hint, Reason: fmt.Sprintf(format, args...)}
}

func printable(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r))
	})
}

// quote shows an untrusted value on one line, shortened.
func quote(s string) string {
	const most = 80
	if len(s) > most {
		return strconv.QuoteToASCII(s[:most]) + "..."
	}
	return strconv.Quote(s)
}

// withoutComment cuts a comment that follows a value.
func withoutComment(s string) string {
	before, _, _ := strings.Cut(s, "#")
	return strings.TrimSpace(before)
}

// joinLines is the text of the lines, each with its newline.
func joinLines(all []line) string {
	var b strings.Builder
	for _, l := range all {
		b.WriteString(l.text)
		b.WriteByte('\n')
	}
	return b.String()
}
