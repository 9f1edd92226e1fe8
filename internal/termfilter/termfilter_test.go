package termfilter

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"
)

func filtered(parts ...string) string {
	var f Filter
	var out []byte
	for _, p := range parts {
		out = f.Append(out, []byte(p))
	}
	return string(out)
}

func TestWhatATerminalIsForPasses(t *testing.T) {
	for name, s := range map[string]string{
		"text":                 "Grüße, 日本語 🙂\r\n\tdone\b\a",
		"colours":              "\x1b[1;31;48;5;17mred\x1b[38:2::1:2:3m\x1b[m",
		"the cursor":           "\x1b[2J\x1b[H\x1b[12;40f\x1b[A\x1b[3B\x1b7\x1b8\x1b[s\x1b[u\x1b[6 q",
		"erasing":              "\x1b[K\x1b[1J\x1b[?2K\x1b[4X\x1b[3P\x1b[2@\x1b[M\x1b[L",
		"scrolling":            "\x1b[2;20r\x1bM\x1bD\x1b[3S\x1b[T",
		"the alternate screen": "\x1b[?1049h\x1b[?25l\x1b[?1h\x1b=\x1b[?7;25h\x1b[?1049l",
		"drawing characters":   "\x1b(0lqqk\x1b(B\x0elqk\x0f\x1b)0",
		"resets":               "\x1bc\x1b[!p\x1b#8",
		"a repetition":         "-\x1b[79b",
		"bracketed paste":      "\x1b[?2004h",
	} {
		if got := filtered(s); got != s {
			t.Errorf("%s: %q became %q", name, s, got)
		}
	}
}

func TestWhatActsOnTheTerminalsOwnerDoesNotPass(t *testing.T) {
	for name, s := range map[string]string{
		"title":                        "\x1b]0;title\x07",
		"title, ended by ST":           "\x1b]2;title\x1b\\",
		"title of tmux":                "\x1bktitle\x1b\\",
		"clipboard":                    "\x1b]52;c;cm0gLXJmIH4K\x07",
		"clipboard, asked for":         "\x1b]52;c;?\x1b\\",
		"hyperlink, opened and closed": "\x1b]8;;file:///etc/passwd\x1b\\\x1b]8;;\x1b\\",
		"colours, asked for":           "\x1b]11;?\x07\x1b]4;1;?\x07",
		"DCS, DECRQSS":                 "\x1bP$qm\x1b\\",
		"DCS, XTGETTCAP":               "\x1bP+q544e\x1b\\",
		"DCS, key definitions":         "\x1bP1;1|17/726d\x1b\\",
		"DCS, passed on by tmux":       "\x1bPtmux;\x1b\x1b]52;c;eA==\x07\x1b\\",
		"APC, kitty graphics":          "\x1b_Gf=24;AAAA\x1b\\",
		"PM":                           "\x1b^x\x1b\\",
		"SOS":                          "\x1bXx\x1b\\",
		"DA":                           "\x1b[c\x1b[0c\x1b[>c\x1b[=c\x1bZ",
		"DSR":                          "\x1b[5n\x1b[6n\x1b[?6n\x1b[?15n",
		"DECRQM":                       "\x1b[?2026$p\x1b[4$p",
		"XTVERSION":                    "\x1b[>q\x1b[>0q",
		"DECREQTPARM":                  "\x1b[x\x1b[1x",
		"a checksum, DECRQCRA":         "\x1b[1;1;1;1;1;1*y",
		"answerback":                   "\x05",
		"window":                       "\x1b[21t\x1b[8;1;1t\x1b[?3h",
		"printer":                      "\x1b[5i\x1b[?5i",
		"mouse and focus":              "\x1b[?1000h\x1b[?1003;1006h\x1b[?1004h\x1b[1;1;1;1;1T",
		"keyboard":                     "\x1b[>4;2m\x1b[>1u\x1b[=1u\x1b[?u\x1b[<u",
		"one mode of a list":           "\x1b[?25;1000h",
		"8-bit answers, other charset": "\x1b G\x1b%@",
		"LEDs, saved modes":            "\x1b[1q\x1b[?1000s\x1b[?1000r",
		"a repetition without end":     "\x1b[999999999b",
		"8-bit OSC":                    "\x9d0;title\x9c",
		"8-bit OSC, as UTF-8":          "\u009d0;title\u009c",
		"8-bit DCS, APC, PM, SOS":      "\x90$qm\x9c\x9fG\x9c\x9ex\x9c\x98x\x9c",
		"8-bit CSI":                    "\x9b6n\u009b6n",
		"controls":                     "\x00\x01\x11\x13\x7f",
		"an unfinished one":            "\x1b[31",
		"a long one":                   "\x1b[" + strings.Repeat("1;", 200) + "m",
		"controls in the middle":       "\x1b[6\x00n\x1b[\x076n",
		"an escape in the middle":      "\x1b[3\x1b[6n\x1b]0;x\x1b[6n",
	} {
		if got := filtered("a" + s); got != "a" {
			t.Errorf("%s: %q became %q", name, s, got)
		}
	}
}

func TestTextGoesOnAfterwards(t *testing.T) {
	for s, want := range map[string]string{
		"\x1b]0;x\x07 next":            " next",
		"\x1b]0;x\x18 next":            " next", // cancelled
		"\x1bPx\x07y\x1b\\ next":       " next", // a bell does not end a DCS
		"\x1b]0;x\x1b[1mbold":          "\x1b[1mbold",
		"\x9b1mbold":                   "\x1b[1mbold", // the 7-bit form of the same
		"\u009b1mbold":                 "\x1b[1mbold",
		"latin \xe4\xf6":               "latin \ufffd\ufffd",
		"\xe0\x82\x9b6n":               "\ufffd6n", // an overlong CSI: neither a control nor text
		"\x1b]0;\xe4\x9c\xa8 title\a.": ".",        // 0x9c within a character ends nothing
	} {
		got := filtered(s)
		if s == "\xe0\x82\x9b6n" {
			if strings.ContainsRune(got, 0x9b) || strings.Contains(got, "\x1b") {
				t.Errorf("%q became %q", s, got)
			}
			continue
		}
		if got != want {
			t.Errorf("%q became %q, want %q", s, got, want)
		}
	}
	if got := filtered("\x1b]0;" + strings.Repeat("x", maxString) + "\r\nlogin: "); !strings.HasSuffix(got, "\r\nlogin: ") {
		t.Errorf("a string without an end hides what follows: %q", got)
	}
}

func TestReaderPassesErrorsOnAndGivesAll(t *testing.T) {
	source := strings.Repeat("ab\x1b]0;x\x07\x1b[1mü", 10000)
	want := strings.Repeat("ab\x1b[1mü", 10000)
	got, err := io.ReadAll(iotest.OneByteReader(NewReader(strings.NewReader(source))))
	if string(got) != want || err != nil {
		t.Errorf("%d bytes, want %d; %v", len(got), len(want), err)
	}
	broken := errors.New("broken")
	got, err = io.ReadAll(NewReader(io.MultiReader(strings.NewReader("x"), iotest.ErrReader(broken))))
	if string(got) != "x" || !errors.Is(err, broken) {
		t.Errorf("%q, %v", got, err)
	}
}

// FuzzFilter: what comes out is text that the filter itself lets pass, however it
// is split, and holds nothing of what it is there to stop.
func FuzzFilter(f *testing.F) {
	f.Add([]byte("a\x1b]52;c;eA==\x07\x1b[1m\x9b6n\u009b6n\xe4\x1b"), 3)
	f.Add([]byte("\x1bPtmux;\x1b\x1b]0;x\x07\x1b\\\x1b[?1049h"), 7)
	f.Add([]byte("\x1b[\x1b[6n\xc2\x9b5n\x18\x1b(0\x1b%@"), 1)
	f.Fuzz(func(t *testing.T, data []byte, at int) {
		whole := filtered(string(data))
		if len(data) > 0 {
			at = ((at % len(data)) + len(data)) % len(data)
			if split := filtered(string(data[:at]), string(data[at:])); split != whole {
				t.Errorf("split at %d: %q, whole: %q", at, split, whole)
			}
		}
		if again := filtered(whole); again != whole {
			t.Errorf("%q became %q the second time", whole, again)
		}
		if !utf8.ValidString(whole) {
			t.Errorf("%q is not UTF-8", whole)
		}
		for _, r := range whole {
			if r >= firstC1 && r <= lastC1 || r == 0x05 {
				t.Errorf("%q holds %U", whole, r)
			}
		}
		for _, bad := range []string{"\x1b]", "\x1bP", "\x1b_", "\x1b^", "\x1bX", "\x1bk", "\x1bZ"} {
			if strings.Contains(whole, bad) {
				t.Errorf("%q holds %q", whole, bad)
			}
		}
		if bytes.Count([]byte(whole), []byte{escape}) > bytes.Count(data, []byte{escape})+bytes.Count(data, []byte{0xc2})+len(data) {
			t.Errorf("%q has more sequences than %q", whole, data)
		}
	})
}
