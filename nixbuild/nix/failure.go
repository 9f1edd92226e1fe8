package nix

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Failure is why a nix command failed, as far as its log says.
type Failure struct {
	// Message is what nix says, without its "error: ", several lines perhaps.
	Message string
	// File, Line, Column say where, in an error of evaluation.
	File         string
	Line, Column int
	// Derivation whose builder failed, and the last lines of its output.
	Derivation string
	Output     []string
}

// failedBuilder finds the derivation in what nix says of a failed builder:
// "builder for '...' failed with exit code 7", and from 2.29 on "Cannot build
// '...'." with the reason on the next line.
var failedBuilder = regexp.MustCompile(`(?:builder for|Cannot build) '([^']+\.drv)'`)

// notTried is what nix says, from 2.29 on, of a derivation that it did not try to
// build: the reason is another one than its builder (a platform, a feature).
var notTried = regexp.MustCompile(`^Cannot build '([^']+\.drv)'\.?\s*Reason: ([^\n]*)\n?((?s:.*))`)

// consequence is what nix says of derivations that were not built because
// another one failed, or beside an error.
var consequence = regexp.MustCompile(`dependenc(?:y|ies) of derivation|Reason: \d+ dependenc(?:y|ies) failed|^\(use '--show-trace'|^build of '|^some errors were encountered|failed due to failed dependency`)

// Failure returns the error that explains best why nix failed: the first failed
// builder with its last words, else the first error that is no consequence of
// another, else what nix wrote outside its log.
func (s *Stream) Failure() Failure {
	for _, e := range s.errors {
		m := failedBuilder.FindStringSubmatch(e.text)
		if m == nil || consequence.MatchString(e.text) {
			continue
		}
		if reason := unbuildable(e.text); reason != "" {
			return Failure{Message: reason}
		}
		return Failure{Message: withoutOutput(e.text), Derivation: m[1], Output: s.outputOf(m[1])}
	}
	i := slices.IndexFunc(s.errors, func(e reported) bool { return !consequence.MatchString(e.text) })
	if i < 0 && len(s.errors) > 0 {
		i = 0
	}
	if i < 0 {
		return Failure{Message: strings.Join(s.stray.all(), "\n")}
	}
	e := s.errors[i]
	return Failure{Message: e.text, File: e.at.file, Line: e.at.line, Column: e.at.column}
}

// unbuildable is why nix did not try to build a derivation, or "" if it did.
func unbuildable(text string) string {
	m := notTried.FindStringSubmatch(text)
	if m == nil || strings.HasPrefix(m[2], "builder ") {
		return ""
	}
	reasons := []string{strings.TrimSuffix(m[2], ".")}
	for line := range strings.Lines(withoutOutput("\n" + m[3])) {
		if line = strings.TrimSpace(line); line != "" {
			reasons = append(reasons, line)
		}
	}
	return fmt.Sprintf("%s cannot be built here: %s", DerivationName(m[1]), strings.Join(reasons, "; "))
}

// withoutOutput cuts off what some versions repeat of the builder's output; we
// have it from the log.
func withoutOutput(text string) string {
	if i := strings.Index(text, ";\nlast "); i >= 0 {
		return text[:i]
	}
	for _, mark := range []string{"\nOutput paths:", "\nLast "} {
		if i := strings.Index(text, mark); i >= 0 {
			text = text[:i]
		}
	}
	return text
}

func (s *Stream) outputOf(derivation string) []string {
	for _, list := range [][]*build{s.builds, s.ended} {
		for i := len(list) - 1; i >= 0; i-- {
			if list[i].derivation == derivation {
				return list[i].output.all()
			}
		}
	}
	return nil
}

// where is the place of an error as editors understand it: " (FILE:3:5)".
func (f Failure) where() string {
	if f.File == "" || strings.Contains(f.Message, f.File) {
		return ""
	}
	return fmt.Sprintf(" (%s:%d:%d)", f.File, f.Line, f.Column)
}
