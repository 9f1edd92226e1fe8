package generate

import (
	"encoding/json"
	"reflect"
	"strings"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

// field is one property of a JSON object.
type field struct {
	owner    reflect.Type // Go struct that declares it
	goName   string
	name     string // in JSON
	typ      reflect.Type
	required bool
}

// fieldsOf lists the properties of a struct, those of embedded structs last.
func fieldsOf(t reflect.Type) []field {
	var own, embedded []field
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			embedded = append(embedded, fieldsOf(f.Type)...)
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		own = append(own, field{
			owner: t, goName: f.Name, name: name, typ: f.Type,
			required: !strings.Contains(options, "omit"),
		})
	}
	return append(own, embedded...)
}

// scalar names the types that are no objects on the wire although Go has them
// as structs or slices.
func scalar(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[time.Time]():
		return "time"
	case reflect.TypeFor[api.Token]():
		return "token"
	case reflect.TypeFor[json.RawMessage]():
		return "any"
	}
	return ""
}

// schemaName is the name of a struct in the documents: that of the Go type, but for
// a name that would say nothing outside its package.
func schemaName(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[problem.Error]():
		return "ErrorData"
	case reflect.TypeFor[api.Endpoint]():
		return "EndpointResult"
	}
	return t.Name()
}

// schema is the JSON schema of a type.
func schema(t reflect.Type) map[string]any {
	switch scalar(t) {
	case "time":
		return map[string]any{"type": "string", "format": "date-time"}
	case "token":
		return map[string]any{"oneOf": []any{map[string]any{"type": "string"}, map[string]any{"type": "integer"}}}
	case "any":
		return map[string]any{}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return schema(t.Elem())
	case reflect.Slice:
		return map[string]any{"type": "array", "items": schema(t.Elem())}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": schema(t.Elem())}
	case reflect.Struct:
		return map[string]any{"$ref": "#/components/schemas/" + schemaName(t)}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Uint16:
		return map[string]any{"type": "integer", "minimum": 0, "maximum": 65535}
	default:
		return map[string]any{"type": "integer"}
	}
}

// word is the type in the protocol page.
func word(t reflect.Type) string {
	switch scalar(t) {
	case "time":
		return "time (RFC 3339)"
	case "token":
		return "string or integer"
	case "any":
		return "any"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return word(t.Elem())
	case reflect.Slice:
		return "array of " + word(t.Elem())
	case reflect.Map:
		return "object of " + word(t.Elem())
	case reflect.Struct:
		return "[" + schemaName(t) + "](#" + strings.ToLower(schemaName(t)) + ")"
	case reflect.Bool:
		return "boolean"
	case reflect.String:
		return "string"
	default:
		return "integer"
	}
}

// tsType is the type in TypeScript.
func tsType(t reflect.Type) string {
	switch scalar(t) {
	case "time":
		return "string"
	case "token":
		return "string | number"
	case "any":
		return "unknown"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return tsType(t.Elem())
	case reflect.Slice:
		return tsType(t.Elem()) + "[]"
	case reflect.Map:
		return "Record<string, " + tsType(t.Elem()) + ">"
	case reflect.Struct:
		return schemaName(t)
	case reflect.Bool:
		return "boolean"
	case reflect.String:
		return "string"
	default:
		return "number"
	}
}
