package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"golang.org/x/term"

	"github.com/nixvm/nixvm/internal/paths"
)

// app is what all verbs share: where things are, where output goes, and how.
type app struct {
	layout paths.Layout
	exe    string // absolute path of this program

	in     *os.File
	out    *output
	err    io.Writer
	inTTY  bool
	outTTY bool
	errTTY bool

	json, quiet, verbose bool
}

func newApp(in, out, err *os.File) *app {
	return &app{
		in: in, out: &output{Writer: out}, err: err,
		inTTY: isTerminal(in), outTTY: isTerminal(out), errTTY: isTerminal(err),
	}
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// columns is the width of the terminal behind the standard error; 0 = unknown.
func (a *app) columns() int {
	if f, ok := a.err.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil {
			return width
		}
	}
	return 0
}

// interactive reports whether a user can answer prompts.
func (a *app) interactive() bool { return a.inTTY && a.errTTY && !a.json }

// print writes the answer of a verb: the wire value with --json, else text.
func (a *app) print(value any, text func(w io.Writer)) error {
	if !a.json {
		text(a.out)
		return nil
	}
	return writeJSON(a.out, value)
}

func writeJSON(w io.Writer, value any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	return nil
}

// note tells the user something beside the answer.
func (a *app) note(format string, args ...any) {
	if !a.quiet && !a.json {
		fmt.Fprintf(a.err, format+"\n", args...)
	}
}

// warn tells the user of something that he should see although the verb succeeded.
func (a *app) warn(text string) {
	if a.quiet || a.json {
		return
	}
	fmt.Fprintf(a.err, "%s %s\n", a.paint(yellow, "warning:"), clean(text))
}

// The colours that are used; nothing is told by colour alone.
const (
	red    = "1;31"
	yellow = "33"
	green  = "32"
	cyan   = "36"
)

// paint colours text for the standard error. https://no-color.org is honoured.
func (a *app) paint(colour, text string) string {
	if !a.errTTY || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// clean makes untrusted text (of a guest, a tool, a file) harmless on a
// terminal: one line, no control characters.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\n' || r == '\r':
			return ' '
		case unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r):
			return -1
		}
		return r
	}, s)
}
