package api

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/internal/problem"
)

// FieldCheck is what the form of one field comes to.
type FieldCheck struct {
	Field string
	Err   error // nil: the form is right
}

// firstOf is the first error among the checks.
func firstOf(checks []FieldCheck) error {
	for _, c := range checks {
		if c.Err != nil {
			return c.Err
		}
	}
	return nil
}

// checkName keeps the code and hint of package names.
func checkName(name string) error { return checkNameIn("name", name) }

func checkNameIn(field, name string) error {
	if name == "" {
		return problem.BadField(field, "is required")
	}
	if err := names.Machine(name); err != nil {
		return fmt.Errorf("%s: %w", field, err)
	}
	return nil
}

func checkConfirm(name, confirm string) error {
	if confirm != name {
		return problem.New(problem.ConfirmRequired, "confirm: must repeat the name of the machine").
			WithHint("send \"confirm\": %q", name)
	}
	return nil
}

func checkSnapshot(name string) error {
	return cmp.Or(checkRequired("snapshot", name), checkText("snapshot", name, 128), checkLine("snapshot", name))
}

func checkRequired(field, s string) error {
	if s == "" {
		return problem.BadField(field, "is required")
	}
	return nil
}

// maxLine is generous: RSA public keys of 16 KiB bits have 2.8 KB.
const maxLine = 8192

// checkLine refuses what could not be one line of a text file.
func checkLine(field, s string) error {
	for _, r := range s {
		if unicode.IsControl(r) {
			return problem.BadField(field, "must not contain control characters or line breaks")
		}
	}
	return checkText(field, s, maxLine)
}

func checkOptionalLine(field string, s *string) error {
	if s == nil {
		return nil
	}
	return cmp.Or(checkRequired(field, *s), checkLine(field, *s))
}

func checkText(field, s string, limit int) error {
	switch {
	case len(s) > limit:
		return problem.BadField(field, "is longer than %d bytes", limit)
	case !utf8.ValidString(s) || strings.ContainsRune(s, 0):
		return problem.BadField(field, "is not text")
	}
	return nil
}

func checkLines(field string, list []string) error {
	for i, s := range list {
		at := fmt.Sprintf("%s[%d]", field, i)
		if err := cmp.Or(checkRequired(at, strings.TrimSpace(s)), checkLine(at, s)); err != nil {
			return err
		}
	}
	return nil
}

// checkProfiles refuses names that a comma-separated list could not hold.
func checkProfiles(list []string) error {
	for i, s := range list {
		if s == "" || strings.ContainsFunc(s, func(r rune) bool { return r == ',' || unicode.IsSpace(r) || unicode.IsControl(r) }) {
			return problem.BadField(fmt.Sprintf("profiles[%d]", i), "%q is not one word", s)
		}
	}
	return nil
}

func checkPositive[N int | int64](field string, n *N) error {
	if n != nil && *n <= 0 {
		return problem.BadField(field, "must be at least 1, not %d", *n)
	}
	return nil
}

func checkAtMost(field string, n *int, limit int) error {
	if n != nil && *n > limit {
		return problem.BadField(field, "must be at most %d, not %d", limit, *n)
	}
	return nil
}

func checkPorts(field string, list []uint16) error {
	for i, p := range list {
		if p == 0 {
			return problem.BadField(fmt.Sprintf("%s[%d]", field, i), "0 is not a port")
		}
	}
	return nil
}

func checkCIDRs(field string, list []string) error {
	for i, s := range list {
		if _, err := netip.ParsePrefix(s); err != nil {
			if _, err := netip.ParseAddr(s); err != nil {
				return problem.BadField(fmt.Sprintf("%s[%d]", field, i), "%q is neither a network nor an address", s).WithHint("write it as 192.168.1.0/24 or 192.168.1.7")
			}
		}
	}
	return nil
}

// checkHash refuses what is longer than any password hash. The error does not show it.
func checkHash(field string, hash *string) error {
	if hash == nil {
		return nil
	}
	return cmp.Or(checkText(field, *hash, 512), checkLine(field, *hash))
}

// checkLineOf is checkOptionalLine of what may be empty.
func checkLineOf(field string, s *string) error {
	if s == nil {
		return nil
	}
	return checkLine(field, *s)
}
