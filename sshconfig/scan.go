package sshconfig

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
)

// directive is one line of an ssh_config that is not blank or a comment.
//
// This is a reader of our own because kevinburke/ssh_config cannot be one for
// arbitrary files: it refuses some Match lines, and follows Includes while it
// decodes. Here a line is only cut into words, the way OpenSSH's readconf does,
// and nothing is an error.
type directive struct {
	file    string
	line    int // from 1
	keyword string
	args    []string
	active  bool // it counts for the alias that was asked about, as far as can be told
}

// scanLines calls f with every line of data: its number, offset and end (after
// the newline), until f returns false.
func scanLines(data []byte, f func(n, start, end int) bool) {
	n, start := 1, bomLen(data)
	for start < len(data) {
		end := len(data)
		if i := bytes.IndexByte(data[start:], '\n'); i >= 0 {
			end = start + i + 1
		}
		if !f(n, start, end) {
			return
		}
		n, start = n+1, end
	}
}

func bomLen(data []byte) int {
	if bytes.HasPrefix(data, []byte("\xef\xbb\xbf")) {
		return 3
	}
	return 0
}

const blank = " \t\r\n\f"

// parseDirective cuts a line into keyword and arguments.
func parseDirective(line string) (keyword string, args []string) {
	line = strings.Trim(line, blank)
	if line == "" || line[0] == '#' {
		return "", nil
	}
	i := strings.IndexAny(line, " \t=")
	if i < 0 {
		return strings.ToLower(strings.Trim(line, `"`)), nil
	}
	keyword = strings.ToLower(strings.Trim(line[:i], `"`))
	rest := strings.TrimLeft(line[i:], " \t")
	rest = strings.TrimPrefix(rest, "=")
	return keyword, splitArgs(rest)
}

// splitArgs follows OpenSSH's argv_split: quotes of both kinds, a backslash
// before a quote, itself or (outside quotes) a space, # starts a comment.
func splitArgs(s string) []string {
	var args []string
	for i := 0; i < len(s); {
		switch s[i] {
		case ' ', '\t':
			i++
			continue
		case '#':
			return args
		}
		var word strings.Builder
		quote := byte(0)
		for ; i < len(s); i++ {
			ch := s[i]
			switch {
			case ch == '\\' && i+1 < len(s) && (strings.IndexByte(`"'\`, s[i+1]) >= 0 || quote == 0 && s[i+1] == ' '):
				i++
				word.WriteByte(s[i])
				continue
			case quote == 0 && (ch == '"' || ch == '\''):
				quote = ch
				continue
			case quote != 0 && ch == quote:
				quote = 0
				continue
			}
			if quote == 0 && (ch == ' ' || ch == '\t') {
				break
			}
			word.WriteByte(ch)
		}
		args = append(args, word.String())
	}
	return args
}

// Limits on following a user's Includes; OpenSSH's own depth limit is 16.
const (
	maxIncludeDepth = 16
	maxConfigBytes  = 4 << 20
)

// walk calls f with every directive of the user's configuration data and of the
// files it includes, ours excepted, in the order in which ssh reads them, until
// f returns false. Files that cannot be read are skipped, as ssh does. Whether a
// Match line selects the alias cannot be told without running it, so it counts as
// if it did. With an empty alias every directive is active.
func (c *Config) walk(u userFile, alias string, f func(directive) bool) {
	w := walker{c, alias, f}
	w.file(u.path, u.data, c.sshDir, 0, true)
}

// walkAll is walk, and then the same of the system's configuration if ssh reads it.
func (c *Config) walkAll(u userFile, alias string, f func(directive) bool) {
	w := walker{c, alias, f}
	if !w.file(u.path, u.data, c.sshDir, 0, true) || c.system == "" {
		return
	}
	if data, err := readLimited(c.system); err == nil {
		w.file(c.system, data, filepath.Dir(c.system), 0, true)
	}
}

// walker is one walk.
type walker struct {
	*Config
	alias string
	f     func(directive) bool
}

// file walks one file; open tells that the line that includes it is active. An
// Include below a Host line that does not select the alias makes the whole file
// count for nothing, and no Host line ends with its file.
func (w walker) file(file string, data []byte, dir string, depth int, open bool) bool {
	more, active := true, open
	scanLines(data, func(n, start, end int) bool {
		keyword, args := parseDirective(string(data[start:end]))
		switch keyword {
		case "":
			return true
		case "host":
			active = open && (w.alias == "" || matchHost(args, w.alias))
		case "match":
			active = open
		}
		more = w.f(directive{file, n, keyword, args, active})
		if more && keyword == "include" && depth < maxIncludeDepth {
			for _, path := range w.expandInclude(args, dir) {
				if sub, err := readLimited(path); err == nil && more {
					more = w.file(path, sub, dir, depth+1, active)
				}
			}
		}
		return more
	})
	return more
}

// expandInclude lists the files an Include names, our own left out.
func (c *Config) expandInclude(args []string, dir string) []string {
	var files []string
	for _, arg := range args {
		matches, err := filepath.Glob(c.includePattern(arg, dir))
		if err != nil {
			continue
		}
		for _, m := range matches {
			if m != c.ConfigFile() {
				files = append(files, m)
			}
		}
	}
	return files
}

// includePattern makes an Include argument absolute as ssh does: ~ is the home
// directory, and a relative path is relative to ~/.ssh wherever the file lies, or
// to /etc/ssh in the system's configuration.
func (c *Config) includePattern(arg, dir string) string {
	if rest, ok := strings.CutPrefix(arg, "~/"); ok {
		return filepath.Join(filepath.Dir(c.sshDir), rest)
	}
	if filepath.IsAbs(arg) {
		return arg
	}
	return filepath.Join(dir, arg)
}

func readLimited(path string) ([]byte, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() || fi.Size() > maxConfigBytes {
		return nil, os.ErrInvalid
	}
	return os.ReadFile(path)
}

// matchHost reports whether the patterns of a Host line select alias.
func matchHost(patterns []string, alias string) bool {
	selected := false
	for _, p := range patterns {
		p, negated := strings.CutPrefix(p, "!")
		if matchPattern(p, alias) {
			if negated {
				return false
			}
			selected = true
		}
	}
	return selected
}

// matchPattern is OpenSSH's match_pattern: * and ?, nothing else is special.
func matchPattern(pattern, s string) bool {
	for pattern != "" {
		if pattern[0] == '*' {
			for i := 0; i <= len(s); i++ {
				if matchPattern(pattern[1:], s[i:]) {
					return true
				}
			}
			return false
		}
		if s == "" || pattern[0] != '?' && pattern[0] != s[0] {
			return false
		}
		pattern, s = pattern[1:], s[1:]
	}
	return s == ""
}
