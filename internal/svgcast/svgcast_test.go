package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestEscapesBecomeLooksThatGoOnOverTheEndOfALine(t *testing.T) {
	got := ParseScreen("a\x1b[1;31mred\x1b[0m b\n\x1b[38;5;208mx\ny\x1b[39m\x1b[48;2;1;2;3mz\x1b[m\x1b(B!\n")
	want := []Line{
		{{Column: 0, Text: "a"}, {Column: 1, Text: "red", Look: Look{Bold: true, Foreground: palette[1]}}, {Column: 4, Text: " b"}},
		{{Column: 0, Text: "x", Look: Look{Foreground: "#ff8700"}}},
		{
			{Column: 0, Text: "y", Look: Look{Foreground: "#ff8700"}},
			{Column: 1, Text: "z", Look: Look{Background: "#010203"}},
			{Column: 2, Text: "!"},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func FuzzScreensOfAnyBytesAreParsedAndDrawn(f *testing.F) {
	f.Add("plain")
	f.Add("\x1b[38;2mx\x1b[;m\x1b[999999999999999999999mx\x1b")
	f.Fuzz(func(t *testing.T, screen string) {
		Draw([]Frame{{Lines: ParseScreen(screen)}}, Style{Size: Size{10, 3}, Longest: time.Second})
	})
}

func TestARealTerminalIsRecorded(t *testing.T) {
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Skip("tmux is not installed")
	}
	frames, err := Record(t.Context(), Size{Columns: 40, Rows: 5},
		[]string{"sh", "-c", `printf 'working...'; printf '\r\033[K\033[32mdone & <well>\033[0m\n'`})
	if err != nil {
		t.Fatal(err)
	}
	svg := string(Draw(frames, Style{Size: Size{Columns: 40, Rows: 5}, Title: "a & b", Longest: time.Second}))
	wellFormed(t, svg)
	if !strings.Contains(svg, `style="fill:`+palette[2]+`">done &amp; &lt;well&gt;</text>`) {
		t.Errorf("the last line is not there in green:\n%s", svg)
	}
}

func TestACommandThatFailsMakesNoPicture(t *testing.T) {
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Skip("tmux is not installed")
	}
	_, err := Record(t.Context(), Size{Columns: 40, Rows: 5}, []string{"sh", "-c", "echo 'it'\\''s broken'; exit 3"})
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "it's broken") {
		t.Errorf("Record of a failing command: %v", err)
	}
}

func TestWaitingIsCut(t *testing.T) {
	starts, total := timeline([]Frame{{At: 0}, {At: time.Minute}, {At: time.Minute + time.Millisecond}}, time.Second)
	want := []time.Duration{0, time.Second, time.Second + shortest}
	if diff := cmp.Diff(want, starts); diff != "" || total != want[2]+pauseAtEnd {
		t.Errorf("total %v, starts: %s", total, diff)
	}
}

func TestABarThatMovesForMinutesIsThinnedOut(t *testing.T) {
	screen := func(lines ...string) (f Frame) {
		for _, l := range lines {
			f.Lines = append(f.Lines, ParseScreen(l)...)
		}
		return f
	}
	frames := []Frame{screen("$ create", "")}
	for i := range 500 {
		f := screen("$ create", "bar "+strconv.Itoa(i))
		f.At = time.Duration(i) * time.Second
		frames = append(frames, f)
	}
	frames = append(frames, screen("$ create", "done", "ready"))
	kept := condense(frames)
	if len(kept) > ticksKept+3 {
		t.Errorf("%d frames are left of %d", len(kept), len(frames))
	}
	for _, i := range []int{0, 1, 500, 501} {
		if !slices.ContainsFunc(kept, func(f Frame) bool { return cmp.Equal(f, frames[i]) }) {
			t.Errorf("frame %d is gone", i)
		}
	}
	if _, total := timeline(kept, time.Second); total > 4*time.Second+pauseAtEnd {
		t.Errorf("it still takes %v", total)
	}
}

func wellFormed(t *testing.T, text string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("not XML: %v\n%s", err, text)
		}
	}
}
