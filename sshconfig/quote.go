package sshconfig

import (
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"
)

// printable reports whether s is text that stays on its line: valid UTF-8
// without control characters.
func printable(s string) bool {
	return s != "" && utf8.ValidString(s) && strings.IndexFunc(s, unicode.IsControl) < 0
}

// literalPath reports whether p can be written so that every OpenSSH takes it
// literally. Newer versions expand % and ${ in Include where older ones do
// not, and there is no escape that both understand.
func literalPath(p string) bool {
	return filepath.IsAbs(p) && printable(p) && !strings.Contains(p, "%") && !strings.Contains(p, "${")
}

func plain(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+,:@", r))
	}) < 0
}

// quoteArg writes one argument of an ssh_config line (ssh_config(5): arguments
// with spaces go into double quotes; backslash escapes quotes and itself).
func quoteArg(s string) string {
	if plain(strings.ReplaceAll(s, "%", "")) { // % is for the program that expands tokens
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `'`, `\'`).Replace(s) + `"`
}

// globEscape makes path a glob(7) pattern for itself alone.
func globEscape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// quoteInclude is quoteArg for Include, whose argument is a glob(7) pattern.
func quoteInclude(path string) string { return quoteArg(globEscape(path)) }

// quoteShell writes one word of a ProxyCommand: ssh expands % in it and hands
// the rest to the user's $SHELL. Single quotes with '\” for a quote mean the
// same in sh, bash, zsh, ksh, fish and csh.
func quoteShell(s string) string {
	s = strings.ReplaceAll(s, "%", "%%")
	if s != "" && plain(strings.ReplaceAll(s, "%", "")) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
