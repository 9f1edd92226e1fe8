package backends

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestForeignTextBecomesOneBoundedLine(t *testing.T) {
	for in, want := range map[string]string{
		"":                           "",
		"one\ntwo\r\nthree\n":        "one; two; three",
		"\x1b[31mred\x00\a":          "[31mred",
		strings.Repeat("ü", 1000):    strings.Repeat("ü", TextLimit/2) + "...",
		" qemu: \u202eright-to-left": "qemu: right-to-left",
	} {
		got := OneLine(in)
		if got != want || !utf8.ValidString(got) {
			t.Errorf("OneLine(%.20q) = %q, want %q", in, got, want)
		}
	}
}
