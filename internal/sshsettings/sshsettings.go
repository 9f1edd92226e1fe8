// Package sshsettings reads the output of `ssh -G` and `sshd -T`: a keyword and its
// value on each line. It relies only on what OpenSSH documents: 9.2 prints
// keywords of ssh in lower case but one, sshd of 10.6 prints them as the manual
// spells them, and either word of yes and true may stand for a switch.
package sshsettings

import "strings"

// Settings are the values of each keyword, in lower case, in the order of the lines.
type Settings map[string][]string

// Parse reads all lines.
func Parse(out string) Settings {
	s := Settings{}
	for line := range strings.Lines(out) {
		keyword, value, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		if keyword = strings.ToLower(keyword); keyword != "" {
			s[keyword] = append(s[keyword], value)
		}
	}
	return s
}

// First value of a keyword; empty if it is not printed.
func (s Settings) First(keyword string) string {
	if values := s[strings.ToLower(keyword)]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// Is reports whether the first value of a keyword means want.
func (s Settings) Is(keyword, want string) bool { return Same(s.First(keyword), want) }

// Same reports whether two values mean the same: equal, or two words for one switch.
func Same(a, b string) bool { return a == b || truth[a] != "" && truth[a] == truth[b] }

var truth = map[string]string{"yes": "yes", "true": "yes", "no": "no", "false": "no"}
