package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

// barView draws one bar at the bottom of the terminal; each step that ends
// becomes a line above it, with the time that it took.
type barView struct {
	app      *app
	progress *mpb.Progress
	bar      *mpb.Bar
	message  atomic.Pointer[string] // read by the bar's own goroutine
	steps    steps
	begun    time.Time
}

// barWidth is the bar's share of the line, in columns.
const barWidth = 24

// refresh is often enough to look alive and seldom enough to be read.
const refresh = 200 * time.Millisecond

func newBarView(a *app, op api.Operation) *barView {
	v := &barView{app: a, begun: time.Now()}
	v.setMessage(op.Message)
	v.progress = mpb.New(mpb.WithOutput(a.err), mpb.WithRefreshRate(refresh), mpb.WithAutoRefresh())
	v.bar = v.progress.New(100, barStyle(),
		mpb.BarWidth(barWidth), mpb.BarFillerTrim(), mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.Name(string(op.Kind)+" "+op.Subject()+" ")),
		mpb.AppendDecorators(
			decor.Percentage(decor.WC{W: 5}),
			decor.Any(func(decor.Statistics) string { return " " + shortDuration(time.Since(v.begun)) }),
			decor.Any(v.tail),
		))
	v.update(op)
	return v
}

func barStyle() mpb.BarFillerBuilder {
	style := mpb.BarStyle()
	if !unicodeLocale() {
		return style.Lbound("[").Filler("=").Tip(">").Padding(" ").Rbound("]")
	}
	return style.Lbound("▕").Filler("█").Tip("█").Padding("░").Rbound("▏")
}

// unicodeLocale reports whether the terminal is said to show UTF-8.
func unicodeLocale() bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := strings.ToUpper(os.Getenv(name)); v != "" {
			return strings.Contains(v, "UTF-8") || strings.Contains(v, "UTF8")
		}
	}
	return false
}

// tail is the message, cut to what is left of the line once the bar is drawn.
func (v *barView) tail(s decor.Statistics) string {
	room := s.AvailableWidth - barWidth - 2
	message := []rune(*v.message.Load())
	if len(message) > room {
		message = message[:max(room, 0)]
	}
	return "  " + string(message)
}

func (v *barView) setMessage(s string) {
	s = clean(s)
	v.message.Store(&s)
}

func (v *barView) update(op api.Operation) {
	if title, took, ended := v.steps.next(op, time.Now()); ended {
		v.tick(title, took)
	}
	if op.Message != "" && op.State == "running" {
		v.setMessage(op.Message)
	}
	if op.Percent != nil {
		// 100 would complete the bar, and the operation has not ended yet.
		v.bar.SetCurrent(int64(min(*op.Percent, 99)))
	}
}

func (v *barView) tick(title string, took time.Duration) {
	if title != "" {
		v.line("%s %s  %s", v.app.mark(true), clean(title), shortDuration(took))
	}
}

func (v *barView) line(format string, args ...any) {
	// The container may have ended meanwhile; then there is nothing to draw over.
	if _, err := fmt.Fprintf(v.progress, format+"\n", args...); err != nil {
		fmt.Fprintf(v.app.err, format+"\n", args...)
	}
}

func (v *barView) log(line string) {
	if v.app.verbose {
		v.line("  | %s", clean(line))
	}
}

func (v *barView) say(text string) { v.line("%s", clean(text)) }

func (v *barView) notice(text string) { v.say(text) }

func (v *barView) end(op api.Operation, err error) {
	title, took := v.steps.title, time.Since(v.steps.started)
	v.bar.Abort(true)
	v.progress.Wait()
	w := v.app.err
	switch {
	case err == nil:
		writeMark(w, v.app.mark(true), title, took)
	case problem.HasCode(err, problem.Cancelled):
		writeMark(w, v.app.mark(false), string(op.Kind)+" cancelled", time.Since(v.begun))
	default:
		writeMark(w, v.app.mark(false), title, took)
	}
}

func writeMark(w io.Writer, mark, title string, took time.Duration) {
	if title != "" {
		fmt.Fprintf(w, "%s %s  %s\n", mark, clean(title), shortDuration(took))
	}
}

// mark is what stands before a step that ended well or badly.
func (a *app) mark(ok bool) string {
	switch {
	case ok && unicodeLocale():
		return a.paint(green, "✓")
	case ok:
		return a.paint(green, "ok")
	case unicodeLocale():
		return a.paint(red, "✗")
	}
	return a.paint(red, "failed")
}
