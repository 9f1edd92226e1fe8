package rpc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
)

// params is what every parameter type is.
type params interface {
	// Validate names the first field that is wrong. It checks form only; what
	// depends on the state of the world is the core's to check.
	Validate() error
}

// Tokens are the fields that LSP allows in the params of any request.
type Tokens struct {
	// WorkDoneToken for progress; requests that are answered at once ignore it.
	WorkDoneToken Token `json:"workDoneToken,omitzero"`
	// PartialResultToken is accepted and ignored.
	PartialResultToken Token `json:"partialResultToken,omitzero"`
}

// Work are the fields of every request that begins an operation.
type Work struct {
	Tokens
	// Detach answers as soon as the operation runs, instead of when it has
	// ended. Follow it with nixvm/operation/subscribe, which takes the token.
	Detach bool `json:"detach,omitempty"`
}

// Validate implements params.
func (w Work) Validate() error {
	if w.Detach && !w.WorkDoneToken.IsZero() {
		return badField("workDoneToken", "cannot be combined with detach").WithHint("give it to nixvm/operation/subscribe")
	}
	return nil
}

func (w Work) work() Work { return w }

// decode reads params strictly: a field that the method does not have is a typo
// that must not pass in silence. Absent, null and {} are all "no params"; Emacs
// sends null.
func decode(raw *json.RawMessage, into any) error {
	if raw == nil || len(bytes.TrimSpace(*raw)) == 0 || bytes.Equal(bytes.TrimSpace(*raw), []byte("null")) {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(*raw))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return decodeProblem(err)
	}
	return nil
}

// decodeLenient is for LSP's own params, which grow with every version of LSP.
func decodeLenient(raw *json.RawMessage, into any) error {
	if raw == nil {
		return nil
	}
	if err := json.Unmarshal(*raw, into); err != nil {
		return decodeProblem(err)
	}
	return nil
}

func decodeProblem(err error) error {
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) {
		if wrongType.Field == "" {
			return problem.New(problem.BadParams, "params must be an object, not %s", wrongType.Value)
		}
		return badField(wrongType.Field, "must be %s, not %s", jsonType(wrongType.Type.String()), wrongType.Value)
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return problem.New(problem.BadParams, "params have no field %s", name).
			WithHint("docs/protocol.md lists the fields of each method")
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("unexpected end")
	}
	return problem.New(problem.BadParams, "params: %w", err)
}

// jsonType says a Go type in the words of JSON.
func jsonType(goType string) string {
	switch strings.TrimPrefix(goType, "*") {
	case "string":
		return "a string"
	case "bool":
		return "a boolean"
	case "int", "int64":
		return "an integer"
	case "uint16":
		return "an integer from 0 to 65535"
	}
	if strings.HasPrefix(goType, "[]") {
		return "an array"
	}
	return "an object"
}

func badField(field, format string, args ...any) *problem.Error {
	return problem.New(problem.BadParams, "%s: %s", field, fmt.Sprintf(format, args...))
}

// fieldCheck is what the form of one field comes to.
type fieldCheck struct {
	field string
	err   error
}

// firstOf is the first error among the checks.
func firstOf(checks []fieldCheck) error {
	for _, c := range checks {
		if c.err != nil {
			return c.err
		}
	}
	return nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// checkName keeps the code and hint of the machine package: one rule for names.
func checkName(name string) error { return checkNameIn("name", name) }

func checkNameIn(field, name string) error {
	if name == "" {
		return badField(field, "is required")
	}
	if err := machine.ValidName(name); err != nil {
		return fmt.Errorf("%s: %w", field, err)
	}
	return nil
}

func checkConfirm(name, confirm string) error {
	if confirm != name {
		return problem.New(problem.ConfirmRequired, "confirm: must repeat the name of the machine").
			WithHint("this cannot be undone; send \"confirm\": %q", name)
	}
	return nil
}

func checkSnapshot(name string) error {
	return firstError(checkRequired("snapshot", name), checkText("snapshot", name, 128), checkLine("snapshot", name))
}

func checkRequired(field, s string) error {
	if s == "" {
		return badField(field, "is required")
	}
	return nil
}

// maxLine is generous: RSA public keys of 16 KiB bits have 2.8 KB.
const maxLine = 8192

// checkLine refuses what could not be one line of a text file.
func checkLine(field, s string) error {
	for _, r := range s {
		if unicode.IsControl(r) {
			return badField(field, "must not hold control characters or line ends")
		}
	}
	return checkText(field, s, maxLine)
}

func checkOptionalLine(field string, s *string) error {
	if s == nil {
		return nil
	}
	return firstError(checkRequired(field, *s), checkLine(field, *s))
}

func checkText(field, s string, limit int) error {
	switch {
	case len(s) > limit:
		return badField(field, "is longer than %d bytes", limit)
	case !utf8.ValidString(s) || strings.ContainsRune(s, 0):
		return badField(field, "is not text")
	}
	return nil
}

func checkLines(field string, list []string) error {
	for i, s := range list {
		at := fmt.Sprintf("%s[%d]", field, i)
		if err := firstError(checkRequired(at, strings.TrimSpace(s)), checkLine(at, s)); err != nil {
			return err
		}
	}
	return nil
}

// checkWords refuses entries that a comma-separated list could not hold.
func checkWords(field string, list []string) error {
	for i, s := range list {
		if s == "" || strings.ContainsFunc(s, func(r rune) bool { return r == ',' || unicode.IsSpace(r) || unicode.IsControl(r) }) {
			return badField(fmt.Sprintf("%s[%d]", field, i), "%q is not one word", s)
		}
	}
	return nil
}

func checkPositive[N int | int64](field string, n *N) error {
	if n != nil && *n <= 0 {
		return badField(field, "must be at least 1, not %d", *n)
	}
	return nil
}

func checkAtMost(field string, n *int, limit int) error {
	if n != nil && *n > limit {
		return badField(field, "must be at most %d, not %d", limit, *n)
	}
	return nil
}

func checkPorts(field string, list []uint16) error {
	for i, p := range list {
		if p == 0 {
			return badField(fmt.Sprintf("%s[%d]", field, i), "0 is not a port")
		}
	}
	return nil
}

func checkCIDRs(field string, list []string) error {
	for i, s := range list {
		if _, err := netip.ParsePrefix(s); err != nil {
			if _, err := netip.ParseAddr(s); err != nil {
				return badField(fmt.Sprintf("%s[%d]", field, i), "%q is neither a network nor an address", s).WithHint("write it as 192.168.1.0/24 or 192.168.1.7")
			}
		}
	}
	return nil
}
