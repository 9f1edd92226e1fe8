package main

import (
	"bytes"
	"fmt"
	"html"
	"slices"
	"strings"
	"time"
)

// Style is how a recording is drawn.
type Style struct {
	Size
	Title   string
	Longest time.Duration // no frame is shown for longer
}

// Measures, in pixels. The advance of a character is forced with textLength, so
// the picture does not depend on the reader's fonts.
const (
	advance  = 8.0
	leading  = 18.0
	fontSize = 13.5
	margin   = 16.0
	titleBar = 34.0
	footer   = 24.0
)

const (
	background = "#12161f"
	foreground = "#d7deea"
	pauseAtEnd = 8 * time.Second
	shortest   = 80 * time.Millisecond
)

// Draw makes the SVG. Every different line is defined once and used by the frames
// that show it; the frames lie below each other and a stepped animation moves
// them past a window.
func Draw(frames []Frame, style Style) []byte {
	width := margin*2 + advance*float64(style.Columns)
	height := titleBar + leading*float64(style.Rows) + margin + footer
	frames = condense(frames)
	shown, total := timeline(frames, style.Longest)

	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" width="%[1]g" height="%[2]g" role="img" aria-label="%[3]s">`+"\n",
		width, height, html.EscapeString(style.Title))
	b.WriteString("<style>\n")
	fmt.Fprintf(&b, "text{font:%gpx ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:%s;white-space:pre}\n", fontSize, foreground)
	b.WriteString(".b{font-weight:700}.d{opacity:.6}.i{font-style:italic}.u{text-decoration:underline}\n")
	writeAnimation(&b, frames, shown, total, height)
	b.WriteString("</style>\n")
	fmt.Fprintf(&b, `<rect width="%g" height="%g" rx="10" fill="%s"/>`+"\n", width, height, background)
	for i, dot := range []string{"#f07178", "#f2c06b", "#a5d67b"} {
		fmt.Fprintf(&b, `<circle cx="%g" cy="17" r="5.5" fill="%s"/>`+"\n", margin+6+float64(i)*18, dot)
	}
	fmt.Fprintf(&b, `<text x="%g" y="21.5" text-anchor="middle" class="d">%s</text>`+"\n", width/2, html.EscapeString(style.Title))
	fmt.Fprintf(&b, `<text x="%g" y="%g" text-anchor="end" class="d" font-size="11">a real run of %s; waiting is cut</text>`+"\n",
		width-margin, height-10, frames[len(frames)-1].At.Round(time.Second))
	writeFrames(&b, frames, style, height)
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// timeline says when each frame is shown, with the waiting cut.
func timeline(frames []Frame, longest time.Duration) (starts []time.Duration, total time.Duration) {
	for i := range frames {
		starts = append(starts, total)
		if i+1 == len(frames) {
			break
		}
		limit := longest
		if ticks(frames[i], frames[i+1]) {
			limit /= ticksKept
		}
		total += max(shortest, min(limit, frames[i+1].At-frames[i].At))
	}
	return starts, total + pauseAtEnd
}

// ticksKept is how many frames are left of a bar or clock that moves in one line.
const ticksKept = 8

// condense thins out what is waiting although the screen moves: runs of frames
// that differ in one line only, as a progress bar does.
func condense(frames []Frame) []Frame {
	var kept []Frame
	for from := 0; from < len(frames); {
		to := from + 1
		for to < len(frames) && ticks(frames[to-1], frames[to]) {
			to++
		}
		run := frames[from:to]
		for i := range run {
			// The first, the last, and as many between them, evenly.
			if n := len(run) - 1; n < ticksKept || i == n || i*(ticksKept-1)/n != (i-1)*(ticksKept-1)/n || i == 0 {
				kept = append(kept, run[i])
			}
		}
		from = to
	}
	return kept
}

// ticks reports whether two frames differ in the content of one line only.
func ticks(a, b Frame) bool {
	if len(a.Lines) != len(b.Lines) {
		return false
	}
	differ := 0
	for i := range a.Lines {
		if !slices.Equal(a.Lines[i], b.Lines[i]) {
			differ++
			if len(a.Lines[i]) == 0 || len(b.Lines[i]) == 0 {
				return false // a line that came or went is news
			}
		}
	}
	return differ == 1
}

func writeAnimation(b *bytes.Buffer, frames []Frame, starts []time.Duration, total time.Duration, height float64) {
	b.WriteString("@keyframes film{")
	for i, at := range starts {
		fmt.Fprintf(b, "%.3f%%{transform:translateY(%gpx)}", 100*float64(at)/float64(total), -float64(i)*height)
	}
	last := -float64(len(frames)-1) * height
	fmt.Fprintf(b, "to{transform:translateY(%gpx)}}\n", last)
	fmt.Fprintf(b, "#film{animation:film %.2fs steps(1,end) infinite}\n", total.Seconds())
	fmt.Fprintf(b, "@media(prefers-reduced-motion:reduce){#film{animation:none;transform:translateY(%gpx)}}\n", last)
}

func writeFrames(b *bytes.Buffer, frames []Frame, style Style, height float64) {
	ids := map[string]int{}
	var defs, film strings.Builder
	for i, frame := range frames {
		fmt.Fprintf(&film, `<g transform="translate(0 %g)">`, float64(i)*height)
		for row, line := range frame.Lines {
			drawn := drawLine(line)
			if drawn == "" || row >= style.Rows {
				continue
			}
			id, known := ids[drawn]
			if !known {
				id = len(ids)
				ids[drawn] = id
				fmt.Fprintf(&defs, `<g id="l%d">%s</g>`+"\n", id, drawn)
			}
			fmt.Fprintf(&film, `<use href="#l%d" y="%g"/>`, id, titleBar+leading*float64(row))
		}
		film.WriteString("</g>\n")
	}
	fmt.Fprintf(b, "<defs>\n<clipPath id=\"window\"><rect y=\"%g\" width=\"100%%\" height=\"%g\"/></clipPath>\n%s</defs>\n",
		titleBar, leading*float64(style.Rows)+4, defs.String())
	fmt.Fprintf(b, "<g clip-path=\"url(#window)\"><g id=\"film\">\n%s</g></g>\n", film.String())
}

// drawLine draws one line at the origin; a blank one is the empty string.
func drawLine(line Line) string {
	var b strings.Builder
	for _, run := range line {
		look := run.Look
		if look.Reverse {
			look.Foreground, look.Background = orElse(look.Background, background), orElse(look.Foreground, foreground)
		}
		x, w := margin+advance*float64(run.Column), advance*float64(len([]rune(run.Text)))
		if look.Background != "" {
			fmt.Fprintf(&b, `<rect x="%g" width="%g" height="%g" fill="%s"/>`, x, w, leading, look.Background)
		}
		if strings.TrimSpace(run.Text) == "" {
			continue
		}
		fmt.Fprintf(&b, `<text x="%g" y="13.5" textLength="%g" lengthAdjust="spacingAndGlyphs" xml:space="preserve"%s>%s</text>`,
			x, w, attributes(look), html.EscapeString(run.Text))
	}
	return b.String()
}

func attributes(look Look) string {
	var classes []string
	for _, c := range []struct {
		on   bool
		name string
	}{{look.Bold, "b"}, {look.Dim, "d"}, {look.Italic, "i"}, {look.Underline, "u"}} {
		if c.on {
			classes = append(classes, c.name)
		}
	}
	var b strings.Builder
	if len(classes) > 0 {
		fmt.Fprintf(&b, ` class="%s"`, strings.Join(classes, " "))
	}
	if look.Foreground != "" {
		fmt.Fprintf(&b, ` style="fill:%s"`, look.Foreground)
	}
	return b.String()
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
