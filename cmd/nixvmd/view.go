package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/nixvm/nixvm/api"
)

// view shows how far one operation is. All methods are called from one goroutine.
type view interface {
	update(op api.Operation)
	log(line string)    // output of a tool, untrusted
	say(text string)    // of the client itself
	notice(text string) // of the daemon, to this client only
	end(op api.Operation, err error)
}

// newView chooses by where the standard error goes: bars on a terminal, lines
// in a pipe, JSON lines with --json, nothing with --quiet.
func (a *app) newView(op api.Operation) view {
	switch {
	case a.quiet:
		return quietView{}
	case a.json:
		return jsonView{a.err}
	case a.errTTY && os.Getenv("TERM") != "dumb" && a.columns() >= 2*barWidth:
		return newBarView(a, op)
	}
	return &lineView{w: a.err, subject: op.Subject(), logs: a.verbose}
}

type quietView struct{}

func (quietView) update(api.Operation)     {}
func (quietView) log(string)               {}
func (quietView) say(string)               {}
func (quietView) notice(string)            {}
func (quietView) end(api.Operation, error) {}

// jsonView writes one object a line: {"operation": {...}},
// {"log": "..."} or {"notice": "..."}.
type jsonView struct{ w io.Writer }

type progressLine struct {
	Operation *api.Operation `json:"operation,omitempty"`
	Log       string         `json:"log,omitempty"`
	Notice    string         `json:"notice,omitempty"`
}

func (v jsonView) update(op api.Operation) { v.line(progressLine{Operation: &op}) }
func (v jsonView) log(line string)         { v.line(progressLine{Log: line}) }
func (v jsonView) say(string)              {}
func (v jsonView) notice(text string)      { v.line(progressLine{Notice: text}) }

func (v jsonView) end(api.Operation, error) {}

// line writes to the standard error; who closed it does not want to know.
func (v jsonView) line(l progressLine) { _ = writeJSON(v.w, l) }

// lineView writes a line whenever what is done changes; percentages would only
// fill a log.
type lineView struct {
	w       io.Writer
	subject string // the machine or the image that it is about
	logs    bool
	last    string
}

func (v *lineView) update(op api.Operation) {
	if op.State != "running" {
		return // how it ended is said at the end
	}
	if text := plain(op.Message); text != "" && text != v.last {
		v.last = text
		v.say(op.Message)
	}
}

func (v *lineView) log(line string) {
	if v.logs {
		fmt.Fprintf(v.w, "%s| %s\n", v.subject, clean(line))
	}
}

func (v *lineView) say(text string) { fmt.Fprintf(v.w, "%s: %s\n", v.subject, clean(text)) }

func (v *lineView) notice(text string) { v.say(text) }

func (v *lineView) end(api.Operation, error) {}

// plain is a message without its figures at the end, "building x (3/12)", which
// change many times a second.
func plain(message string) string {
	if before, in, ok := strings.Cut(message, " ("); ok && strings.HasSuffix(in, ")") && strings.ContainsAny(in, "0123456789") {
		return before
	}
	return strings.TrimRight(message, " 0123456789./%()")
}

// steps notices when an operation goes from one step to the next.
type steps struct {
	name    string // of the current step
	title   string
	started time.Time
}

// next returns the step that has just ended, if one has.
func (s *steps) next(op api.Operation, now time.Time) (title string, took time.Duration, ended bool) {
	if op.Step == s.name {
		return "", 0, false
	}
	title, took, ended = s.title, now.Sub(s.started), s.name != ""
	s.name, s.title, s.started = op.Step, op.Message, now
	return title, took, ended
}

// shortDuration is a time for people: 0.4s, 12s, 3m05s, 2h10m, 4d3h.
func shortDuration(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%dh", int(d.Hours())/24, int(d.Hours())%24)
}
