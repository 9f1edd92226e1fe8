package sshconfig

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nixvm/nixvm/internal/problem"
)

// The marker makes the line after it ours. Several nixvm instances may each
// have one: whose it is tells the path in the Include.
const (
	markerPrefix = "# nixvm-include:"
	markerLine   = markerPrefix + ` this line and the next are kept by nixvmd (see "nixvmd ssh-config")`
)

// span is a marker with its Include line, as found in a file.
type span struct {
	start, end int    // bytes, the end of line included
	line       int    // of the marker, from 1
	pattern    string // what the Include names
}

// findSpans finds the marked Includes. A marker without its Include is an
// error: it was edited by hand, and cutting anything could remove the user's text.
func findSpans(file string, data []byte) ([]span, error) {
	var spans []span
	var bad []string
	open := false // the last line was a marker
	scanLines(data, func(n, start, end int) bool {
		line := string(data[start:end])
		if open {
			open = false
			if keyword, args := parseDirective(line); keyword == "include" && len(args) == 1 {
				spans[len(spans)-1].end, spans[len(spans)-1].pattern = end, args[0]
				return true
			}
			bad = append(bad, fmt.Sprint(spans[len(spans)-1].line))
			spans = spans[:len(spans)-1]
		}
		if strings.HasPrefix(strings.TrimLeft(line, " \t"), markerPrefix) {
			spans, open = append(spans, span{start: start, line: n}), true
		}
		return true
	})
	if open {
		bad = append(bad, fmt.Sprint(spans[len(spans)-1].line))
	}
	if len(bad) > 0 {
		return nil, problem.New(problem.SSHConfigMalformed, "%s: the nixvm marker in line %s is not followed by its Include line", file, strings.Join(bad, ", ")).
			WithHint("delete that comment line; nothing was changed")
	}
	return spans, nil
}

// ours is the marked Include of this instance, nil if there is none.
func (c *Config) ours(file string, data []byte) (*span, error) {
	spans, err := findSpans(file, data)
	if err != nil {
		return nil, err
	}
	spans = slices.DeleteFunc(spans, func(s span) bool { return s.pattern != globEscape(c.ConfigFile()) })
	switch len(spans) {
	case 0:
		return nil, nil
	case 1:
		return &spans[0], nil
	}
	lines := make([]string, len(spans))
	for i, s := range spans {
		lines[i] = fmt.Sprint(s.line)
	}
	return nil, problem.New(problem.SSHConfigMalformed, "%s has the nixvm Include more than once, in lines %s", file, strings.Join(lines, ", ")).
		WithHint("delete all but the first, each with the line below it; nothing was changed")
}

// splice returns data with our Include as the first directive. Data that has
// one in effect already, ours or the user's own, is returned as it is.
func (c *Config) splice(file string, data []byte) ([]byte, error) {
	s, err := c.ours(file, data)
	if err != nil {
		return nil, err
	}
	if s != nil {
		if onlyIncludes(data[:s.start]) {
			return data, nil
		}
		data = cut(data, *s) // it was moved below something that would scope or shadow it
	} else if c.includedByHand(data) {
		return data, nil
	}
	eol := "\n"
	if i := bytes.IndexByte(data, '\n'); i > 0 && data[i-1] == '\r' {
		eol = "\r\n"
	}
	at := bomLen(data)
	return slices.Concat(data[:at], []byte(markerLine+eol+c.IncludeLine()+eol), data[at:]), nil
}

// unsplice returns data without our marked Include.
func (c *Config) unsplice(file string, data []byte) ([]byte, error) {
	s, err := c.ours(file, data)
	if err != nil || s == nil {
		return data, err
	}
	return cut(data, *s), nil
}

func cut(data []byte, s span) []byte { return slices.Concat(data[:s.start], data[s.end:]) }

// onlyIncludes reports whether data sets nothing and opens no block.
func onlyIncludes(data []byte) bool {
	only := true
	scanLines(data, func(_, start, end int) bool {
		keyword, _ := parseDirective(string(data[start:end]))
		only = keyword == "" || keyword == "include"
		return only
	})
	return only
}

// includedByHand reports whether the user wrote an Include of our file where it
// takes effect: before anything but other Includes.
func (c *Config) includedByHand(data []byte) bool {
	found := false
	scanLines(data, func(_, start, end int) bool {
		keyword, args := parseDirective(string(data[start:end]))
		if keyword == "include" {
			for _, a := range args {
				if ok, err := filepath.Match(c.includePattern(a, c.sshDir), c.ConfigFile()); err == nil && ok {
					found = true
				}
			}
		}
		return !found && (keyword == "" || keyword == "include")
	})
	return found
}
