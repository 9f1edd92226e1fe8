package rpc

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"

	"github.com/nixvm/nixvm/internal/problem"
)

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
		return problem.BadField(wrongType.Field, "must be %s, not %s", jsonType(wrongType.Type), wrongType.Value)
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
func jsonType(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return jsonType(t.Elem())
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "a boolean"
	case reflect.Int, reflect.Int64:
		return "an integer"
	case reflect.Uint16:
		return "an integer from 0 to 65535"
	case reflect.Slice:
		return "an array"
	}
	return "an object"
}
