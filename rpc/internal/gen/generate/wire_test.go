package generate

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nixvm/nixvm/api"
)

var update = flag.Bool("update", false, "add samples of new types to testdata/samples.json")

// testdata/openrpc-1.json is the description with which protocol version 1 was
// first served. It is never written anew: a client of that day must be understood
// as long as the version is 1, so everything in it keeps its name, type and
// meaning. Methods, optional parameters and properties may be added.
func TestWhatTheFirstDaemonOfThisVersionDescribedStillHolds(t *testing.T) {
	if api.ProtocolVersion != 1 {
		t.Fatal("keep the description of the new version beside testdata/openrpc-1.json, and compare with that")
	}
	first, err := os.ReadFile(filepath.Join("testdata", "openrpc-1.json"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := Files(filepath.Join("..", "..", "..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	then, now := parseDescription(t, first), parseDescription(t, files["rpc/openrpc.json"])
	for name, m := range then.methods {
		got, ok := now.methods[name]
		if !ok {
			t.Errorf("the method %s is gone", name)
			continue
		}
		if diff := cmp.Diff(m.Result, got.Result); diff != "" {
			t.Errorf("the result of %s is another type:\n%s", name, diff)
		}
		compareFields(t, name, m.Params, got.Params)
		for field, f := range got.Params {
			if _, known := m.Params[field]; !known && f.Required {
				t.Errorf("%s has come to require the parameter %s: older clients do not send it", name, field)
			}
		}
	}
	for name, fields := range then.schemas {
		if now.schemas[name] == nil {
			t.Errorf("the type %s is gone", name)
			continue
		}
		compareFields(t, name, fields, now.schemas[name])
	}
	if diff := cmp.Diff(then.order, slices.DeleteFunc(slices.Clone(now.order), func(m string) bool { return !slices.Contains(then.order, m) })); diff != "" {
		t.Errorf("the methods are listed in another order:\n%s", diff)
	}
}

func compareFields(t *testing.T, owner string, then, now map[string]describedField) {
	t.Helper()
	for name, f := range then {
		if got, ok := now[name]; !ok {
			t.Errorf("%s has no %s any more", owner, name)
		} else if diff := cmp.Diff(f, got); diff != "" {
			t.Errorf("%s of %s has changed:\n%s", name, owner, diff)
		}
	}
}

// describedField is a parameter or property without its words for people.
type describedField struct {
	Required bool
	Schema   any
}

type describedMethod struct {
	Params map[string]describedField
	Result any
}

type description struct {
	methods map[string]describedMethod
	order   []string
	schemas map[string]map[string]describedField
}

func parseDescription(t *testing.T, text []byte) description {
	t.Helper()
	var doc struct {
		Methods []struct {
			Name   string
			Params []struct {
				Name     string
				Required bool
				Schema   any
			}
			Result any
		}
		Components struct {
			Schemas map[string]struct {
				Properties map[string]map[string]any
				Required   []string
			}
		}
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	d := description{methods: map[string]describedMethod{}, schemas: map[string]map[string]describedField{}}
	for _, m := range doc.Methods {
		params := map[string]describedField{}
		for _, p := range m.Params {
			params[p.Name] = describedField{p.Required, p.Schema}
		}
		d.methods[m.Name] = describedMethod{params, m.Result}
		d.order = append(d.order, m.Name)
	}
	for name, s := range doc.Components.Schemas {
		fields := map[string]describedField{}
		for property, schema := range s.Properties {
			delete(schema, "description")
			fields[property] = describedField{slices.Contains(s.Required, property), schema}
		}
		d.schemas[name] = fields
	}
	if len(d.methods) < 30 || len(d.schemas) < 30 {
		t.Fatalf("only %d methods and %d types were read", len(d.methods), len(d.schemas))
	}
	return d
}

// sample is a type of the protocol in JSON: with every field set, and with none.
type sample struct {
	Type  string          `json:"type"`
	Full  json.RawMessage `json:"full"`
	Empty json.RawMessage `json:"empty"`
}

// A value of each type keeps its bytes: names, order, what is left out when empty.
// Properties may be added anywhere. A sample is never changed.
func TestEveryTypeKeepsItsJSON(t *testing.T) {
	d, err := newDocument(filepath.Join("..", "..", "..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", "samples.json")
	samples := readSamples(t, path)
	if *update {
		addSamples(t, path, d, samples)
	}
	for _, typ := range d.types {
		name := schemaName(typ)
		s, ok := samples[name]
		if !ok {
			t.Errorf("%s has no sample; run go test ./rpc/internal/gen/generate -update", name)
			continue
		}
		delete(samples, name)
		v := reflect.New(typ)
		dec := json.NewDecoder(bytes.NewReader(s.Full))
		dec.DisallowUnknownFields()
		if err := dec.Decode(v.Interface()); err != nil {
			t.Errorf("%s does not take what it was: %v", name, err)
			continue
		}
		if got, want := marshal(t, v.Elem().Interface()), compact(t, s.Full); without(t, got, want) != want {
			t.Errorf("%s is sent as\n%s\nand was\n%s", name, got, want)
		}
		if got, want := marshal(t, reflect.Zero(typ).Interface()), compact(t, s.Empty); without(t, got, want) != want {
			t.Errorf("an empty %s is sent as\n%s\nand was\n%s", name, got, want)
		}
	}
	for name := range samples {
		t.Errorf("the type %s is gone", name)
	}
}

func readSamples(t *testing.T, path string) map[string]sample {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var list []sample
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	samples := map[string]sample{}
	for _, s := range list {
		samples[s.Type] = s
	}
	return samples
}

// addSamples writes the samples with those of the types that have none.
func addSamples(t *testing.T, path string, d *document, samples map[string]sample) {
	t.Helper()
	for _, typ := range d.types {
		name := schemaName(typ)
		if _, known := samples[name]; known {
			continue
		}
		full := reflect.New(typ).Elem()
		fill(t, full, strings.ToLower(name))
		samples[name] = sample{name, json.RawMessage(marshal(t, full.Interface())), json.RawMessage(marshal(t, reflect.Zero(typ).Interface()))}
	}
	var list []sample
	for _, name := range slices.Sorted(maps.Keys(samples)) {
		list = append(list, samples[name])
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(list); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// property is one of a JSON object, whose order counts here.
type property struct {
	name  string
	value any // []property, []any or a scalar as JSON
}

// without is got less the properties that want does not have.
func without(t *testing.T, got, want string) string {
	t.Helper()
	var out strings.Builder
	write(&out, prune(ordered(t, got), ordered(t, want)))
	return out.String()
}

func ordered(t *testing.T, text string) any {
	t.Helper()
	if text[0] != '{' && text[0] != '[' {
		return text
	}
	d := json.NewDecoder(strings.NewReader(text))
	if _, err := d.Token(); err != nil {
		t.Fatal(err)
	}
	var object []property
	list := []any{}
	for d.More() {
		var name any
		if text[0] == '{' {
			var err error
			if name, err = d.Token(); err != nil {
				t.Fatal(err)
			}
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			t.Fatal(err)
		}
		value := ordered(t, string(raw))
		if s, ok := name.(string); ok {
			object = append(object, property{s, value})
		} else {
			list = append(list, value)
		}
	}
	if text[0] == '{' {
		return object
	}
	return list
}

func prune(got, want any) any {
	switch want := want.(type) {
	case []property:
		object, ok := got.([]property)
		if !ok {
			return got
		}
		var kept []property
		for _, p := range object {
			if i := slices.IndexFunc(want, func(w property) bool { return w.name == p.name }); i >= 0 {
				kept = append(kept, property{p.name, prune(p.value, want[i].value)})
			}
		}
		return kept
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) != len(want) {
			return got
		}
		for i := range list {
			list[i] = prune(list[i], want[i])
		}
		return list
	}
	return got
}

func write(out *strings.Builder, v any) {
	switch v := v.(type) {
	case []property:
		out.WriteString("{")
		for i, p := range v {
			if i > 0 {
				out.WriteString(",")
			}
			name, _ := json.Marshal(p.name) // a string always marshals
			out.Write(name)
			out.WriteString(":")
			write(out, p.value)
		}
		out.WriteString("}")
	case []any:
		out.WriteString("[")
		for i, e := range v {
			if i > 0 {
				out.WriteString(",")
			}
			write(out, e)
		}
		out.WriteString("]")
	case string:
		out.WriteString(v)
	}
}

// fill sets every field to a value that says where it is.
func fill(t *testing.T, v reflect.Value, name string) {
	t.Helper()
	switch scalar(v.Type()) {
	case "time":
		v.Set(reflect.ValueOf(time.Date(2026, 3, 1, 12, 30, 15, 250e6, time.UTC)))
		return
	case "token":
		if err := json.Unmarshal([]byte(`"`+name+`"`), v.Addr().Interface()); err != nil {
			t.Fatal(err)
		}
		return
	case "any":
		v.SetBytes([]byte("7"))
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), name)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(t, v.Index(0), name)
	case reflect.Map:
		e := reflect.New(v.Type().Elem()).Elem()
		fill(t, e, name)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf(name), e)
	case reflect.Struct:
		for i := range v.NumField() {
			tag, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
			if tag != "-" {
				fill(t, v.Field(i), tag)
			}
		}
	case reflect.String:
		v.SetString(name)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Float32, reflect.Float64:
		v.SetFloat(float64(len(name)))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(len(name)))
	default:
		v.SetInt(int64(len(name)))
	}
}

func marshal(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func compact(t *testing.T, raw json.RawMessage) string {
	t.Helper()
	var out bytes.Buffer
	if err := json.Compact(&out, raw); err != nil {
		t.Fatal(err)
	}
	return out.String()
}
