package generate

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nixvm/nixvm/rpc"
)

var update = flag.Bool("update", false, "write testdata/samples.json anew")

// testdata/openrpc-1.json is the description with which protocol version 1 was
// first served. It is never written anew: a client of that day must be understood
// as long as the version is 1, so everything in it keeps its name, type and
// meaning. Methods, optional parameters and properties may be added.
func TestWhatTheFirstDaemonOfThisVersionDescribedStillHolds(t *testing.T) {
	if rpc.ProtocolVersion != 1 {
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
func TestEveryTypeKeepsItsJSON(t *testing.T) {
	d, err := newDocument(filepath.Join("..", "..", "..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", "samples.json")
	if *update {
		writeSamples(t, path, d)
	}
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
		if got, want := marshal(t, v.Elem().Interface()), compact(t, s.Full); got != want {
			t.Errorf("%s is sent as\n%s\nand was\n%s\nIf only something was added, run go test ./rpc/internal/gen/generate -update", name, got, want)
		}
		if got, want := marshal(t, reflect.Zero(typ).Interface()), compact(t, s.Empty); got != want {
			t.Errorf("an empty %s is sent as\n%s\nand was\n%s", name, got, want)
		}
	}
	for name := range samples {
		t.Errorf("the type %s is gone", name)
	}
}

func writeSamples(t *testing.T, path string, d *document) {
	t.Helper()
	var list []sample
	for _, typ := range d.types {
		full := reflect.New(typ).Elem()
		fill(t, full, strings.ToLower(schemaName(typ)))
		list = append(list, sample{schemaName(typ), json.RawMessage(marshal(t, full.Interface())), json.RawMessage(marshal(t, reflect.Zero(typ).Interface()))})
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
