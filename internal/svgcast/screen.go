package main

import (
	"fmt"
	"strconv"
	"strings"
)

// Line is one line of the screen, as runs of characters that look the same.
type Line []Run

// Run is text with one look. Column counts from 0.
type Run struct {
	Column int
	Text   string
	Look
}

// Look is how characters are drawn. The zero value is the terminal's default;
// colors are "#rrggbb" or empty.
type Look struct {
	Foreground, Background string
	Bold, Dim, Italic      bool
	Underline, Reverse     bool
}

// ParseScreen reads what `tmux capture-pane -e` prints: lines with SGR escapes
// (ECMA-48, 8.3.117), whose effect goes on over the end of a line.
func ParseScreen(screen string) []Line {
	var look Look
	var lines []Line
	for text := range strings.SplitSeq(strings.TrimSuffix(screen, "\n"), "\n") {
		var line Line
		line, look = parseLine(text, look)
		lines = append(lines, line)
	}
	return lines
}

func parseLine(text string, look Look) (Line, Look) {
	var line Line
	column := 0
	for text != "" {
		plain, rest, escape := strings.Cut(text, "\x1b")
		if plain != "" {
			line = append(line, Run{Column: column, Text: plain, Look: look})
			column += len([]rune(plain))
		}
		if !escape {
			break
		}
		text = rest
		if body, ok := strings.CutPrefix(rest, "["); ok {
			codes, after, found := strings.Cut(body, "m")
			if found {
				look, text = look.apply(codes), after
			}
		} else if len(rest) >= 2 {
			text = rest[2:] // a character set, ESC ( B
		}
	}
	return line, look
}

// apply is the look after one SGR sequence with these codes.
func (l Look) apply(codes string) Look {
	fields := strings.FieldsFunc(codes, func(r rune) bool { return r == ';' || r == ':' })
	if len(fields) == 0 {
		return Look{}
	}
	for i := 0; i < len(fields); i++ {
		n, err := strconv.Atoi(fields[i])
		if err != nil {
			continue
		}
		switch {
		case n == 38 || n == 48:
			color, used := extendedColor(fields[i+1:])
			i += used
			if n == 38 {
				l.Foreground = color
			} else {
				l.Background = color
			}
		case n >= 30 && n <= 37, n >= 90 && n <= 97:
			l.Foreground = paletteColor(n%10 + 8*(n/90))
		case n >= 40 && n <= 47, n >= 100 && n <= 107:
			l.Background = paletteColor(n%10 + 8*(n/100))
		default:
			l = l.attribute(n)
		}
	}
	return l
}

func (l Look) attribute(n int) Look {
	switch n {
	case 0:
		return Look{}
	case 1:
		l.Bold = true
	case 2:
		l.Dim = true
	case 3:
		l.Italic = true
	case 4:
		l.Underline = true
	case 7:
		l.Reverse = true
	case 22:
		l.Bold, l.Dim = false, false
	case 23:
		l.Italic = false
	case 24:
		l.Underline = false
	case 27:
		l.Reverse = false
	case 39:
		l.Foreground = ""
	case 49:
		l.Background = ""
	}
	return l
}

// extendedColor reads what follows 38 or 48 and says how many fields it took.
func extendedColor(fields []string) (color string, used int) {
	number := func(i int) int {
		if i >= len(fields) {
			return 0
		}
		n, _ := strconv.Atoi(fields[i]) // garbage is black
		return n & 0xff
	}
	switch number(0) {
	case 5:
		return paletteColor(number(1)), 2
	case 2:
		return fmt.Sprintf("#%02x%02x%02x", number(1), number(2), number(3)), 4
	}
	return "", 1
}

// palette holds the sixteen colors that every terminal chooses for itself.
var palette = [16]string{
	"#1d2230", "#f07178", "#a5d67b", "#f2c06b", "#7aa7f0", "#c58fe6", "#6fcfd3", "#c9d1e0",
	"#606a80", "#ff8b92", "#b9ea90", "#ffd487", "#94bcff", "#d8a6f7", "#87e3e7", "#ffffff",
}

// paletteColor is color n of the 256: sixteen, a cube of 6x6x6, and 24 grays.
func paletteColor(n int) string {
	switch {
	case n < 16:
		return palette[n]
	case n < 232:
		level := func(v int) int {
			if v == 0 {
				return 0
			}
			return 55 + 40*v
		}
		n -= 16
		return fmt.Sprintf("#%02x%02x%02x", level(n/36), level(n/6%6), level(n%6))
	}
	gray := 8 + 10*(n-232)
	return fmt.Sprintf("#%02x%02[1]x%02[1]x", gray)
}
