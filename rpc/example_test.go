package rpc

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/api"
)

// checkParams does with params what the daemon does before it serves a method.
func checkParams(m Method, raw json.RawMessage) error {
	p := reflect.New(m.Params)
	if err := decode(&raw, p.Interface()); err != nil {
		return err
	}
	return p.Elem().Interface().(api.Params).Validate()
}

// examples are the requests of the protocol page by their method.
func examples(t *testing.T) map[string]json.RawMessage {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "docs", "protocol.md"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]json.RawMessage{}
	for line := range strings.Lines(string(page)) {
		if !strings.HasPrefix(line, `{"jsonrpc"`) || !strings.Contains(line, `"method"`) {
			continue
		}
		var request struct {
			Method string
			Params json.RawMessage
		}
		if err := json.Unmarshal([]byte(line), &request); err != nil {
			t.Errorf("%s: %v", line, err)
		}
		all[request.Method] = request.Params
	}
	return all
}

// Authors of clients begin with the examples of the page.
func TestEveryExampleOfThePageIsAccepted(t *testing.T) {
	all := examples(t)
	for _, m := range Methods() {
		raw, ok := all[m.Name]
		if !ok {
			t.Errorf("the page has no example of %s", m.Name)
			continue
		}
		if err := checkParams(m, raw); err != nil {
			t.Errorf("%s %s: %v", m.Name, raw, err)
		}
		if strings.Contains(string(raw), "null") {
			t.Errorf("%s: the example has a parameter without a value: %s", m.Name, raw)
		}
	}
	if raw, ok := all["initialize"]; !ok || decodeLenient(&raw, &api.InitializeParams{}) != nil {
		t.Errorf("initialize %s", raw)
	}
}

// jsonFields are the names of a struct's fields on the wire, embedded ones among them.
func jsonFields(typ reflect.Type) []string {
	var names []string
	for i := range typ.NumField() {
		f := typ.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			names = append(names, jsonFields(f.Type)...)
		case name != "" && name != "-":
			names = append(names, name)
		}
	}
	return names
}

// Emacs sends null for what has no value.
func TestNullIsNoValueInEveryOptionalField(t *testing.T) {
	all := examples(t)
	for _, m := range Methods() {
		var with map[string]any
		if err := json.Unmarshal(all[m.Name], &with); err != nil {
			t.Fatalf("%s: %v", m.Name, err)
		}
		for _, name := range jsonFields(m.Params) {
			if _, required := with[name]; !required {
				with[name] = nil
			}
		}
		raw, err := json.Marshal(with)
		if err != nil {
			t.Fatal(err)
		}
		if err := checkParams(m, raw); err != nil {
			t.Errorf("%s %s: %v", m.Name, raw, err)
		}
		with["workDoneToken"] = nil
		if raw, err = json.Marshal(with); err != nil {
			t.Fatal(err)
		}
		if err := checkParams(m, raw); err != nil {
			t.Errorf("%s %s: %v", m.Name, raw, err)
		}
	}
}
