package plaintext

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestWhatTerminalsObeyIsRemoved(t *testing.T) {
	for in, want := range map[string]string{
		"plain\ttext":                      "plain\ttext",
		"\x1b[31;1merror:\x1b[0m boom":     "error: boom",
		"two\nlines\r":                     "two lines",
		"a\x1bb\x07c\u009bd":               "abcd",
		"unfinished \x1b[31":               "unfinished ",
		"turned \u202earound":              "turned around",
		strings.Repeat("é", 60):            strings.Repeat("é", 50) + "…",
		strings.Repeat("\xff", 90):         strings.Repeat("\ufffd", 33) + "…",
		"latin \xe9":                       "latin \ufffd",
		strings.Repeat("x", 99) + "é":      strings.Repeat("x", 99) + "…",
		"\x1b]0;title\x07 of the terminal": "]0;title of the terminal",
	} {
		if got := Line(in, 100); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
	if got := Lines("\x1b[1ma\nb\x07", 100); got != "a\nb" {
		t.Errorf("several lines became %q", got)
	}
}

func FuzzLine(f *testing.F) {
	f.Add("\x1b[31m\xffx\u202e")
	f.Add(strings.Repeat("\xff", 1000))
	f.Add(strings.Repeat("\xff", 990) + strings.Repeat("é", 10))
	f.Fuzz(func(t *testing.T, s string) {
		got := Line(s, 1000)
		if strings.ContainsFunc(got, func(r rune) bool { return unicode.IsControl(r) && r != '\t' }) {
			t.Errorf("%q holds control characters", got)
		}
		if !utf8.ValidString(got) {
			t.Errorf("%q is not text", got)
		}
		if len(got) > 1000+len("…") {
			t.Errorf("%d bytes of %d", len(got), len(s))
		}
	})
}
