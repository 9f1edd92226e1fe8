package pvesim

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"testing"
)

var update = flag.Bool("update", false, "write schema.json anew from the official schema")

// facts finds a file of recorded facts about Proxmox VE, which are not part of
// the repository: the directory named by NIXVM_PVE_FACTS, or a checkout of them
// beside this one.
func facts(t *testing.T, name string) string {
	t.Helper()
	dir := os.Getenv("NIXVM_PVE_FACTS")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "..", "shared", "facts", "pve")
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		t.Skipf("no %s in %s: set NIXVM_PVE_FACTS to the directory that has it", name, dir)
	}
	return path
}

// The embedded schema is what the official file says of the same methods.
func TestSchemaIsTheOfficialOne(t *testing.T) {
	official := readOfficial(t, facts(t, "apidoc-9.1.json.gz"))
	names := slices.Collect(func(yield func(string) bool) {
		for name := range handlers() {
			if !yield(name) {
				return
			}
		}
	})
	slices.Sort(names)
	want := &schema{Dictionaries: map[string]map[string]*property{}, Methods: map[string]*method{}}
	for _, name := range names {
		info, ok := official[name]
		if !ok {
			t.Fatalf("%s is not in the official schema", name)
		}
		want.Methods[name] = want.method(t, name, info)
	}
	text, err := json.MarshalIndent(want, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	text = append(text, '\n')
	if *update {
		if err := os.WriteFile("schema.json", text, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(text, schemaText) {
		t.Error("schema.json differs from the official schema: go test ./backends/proxmox/pvesim -run Schema -update")
	}
}

// Every method of the schema has a handler, and the other way round.
func TestEveryMethodHasAHandler(t *testing.T) {
	s, err := loadSchema()
	if err != nil {
		t.Fatal(err)
	}
	for name := range s.Methods {
		if handlers()[name] == nil {
			t.Errorf("%s has no handler", name)
		}
	}
	for name := range handlers() {
		if s.Methods[name] == nil {
			t.Errorf("%s is not in the schema", name)
		}
	}
}

type officialNode struct {
	Path     string                     `json:"path"`
	Info     map[string]json.RawMessage `json:"info"`
	Children []officialNode             `json:"children"`
}

func readOfficial(t *testing.T, path string) map[string]map[string]any {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unpacked, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	var roots []officialNode
	if err := json.NewDecoder(unpacked).Decode(&roots); err != nil {
		t.Fatal(err)
	}
	found := map[string]map[string]any{}
	var walk func(nodes []officialNode)
	walk = func(nodes []officialNode) {
		for _, node := range nodes {
			for verb, raw := range node.Info {
				var info map[string]any
				if err := json.Unmarshal(raw, &info); err != nil {
					t.Fatal(err)
				}
				found[verb+" "+node.Path] = info
			}
			walk(node.Children)
		}
	}
	walk(roots)
	return found
}

func (s *schema) method(t *testing.T, name string, info map[string]any) *method {
	m := &method{Parameters: map[string]*property{}}
	if permissions, ok := info["permissions"].(map[string]any); ok {
		m.Check, _ = permissions["check"].([]any)
		m.World = permissions["user"] == "world"
	}
	m.Node = info["proxyto"] == "node"
	parameters, _ := info["parameters"].(map[string]any)
	properties, _ := parameters["properties"].(map[string]any)
	for _, key := range sortedKeys(properties) {
		m.Parameters[key] = s.property(t, name+" "+key, key, properties[key].(map[string]any))
	}
	return m
}

func (s *schema) property(t *testing.T, where, key string, raw map[string]any) *property {
	text := func(name string) string { v, _ := raw[name].(string); return v }
	p := &property{
		Type: text("type"), Pattern: text("pattern"), Requires: text("requires"), Alias: text("alias"), KeyAlias: text("keyAlias"),
		Optional: isSet(raw["optional"]), DefaultKey: isSet(raw["default_key"]),
		Minimum: number(t, where, raw["minimum"]), Maximum: number(t, where, raw["maximum"]),
	}
	for _, value := range asList(raw["enum"]) {
		p.Enum = append(p.Enum, fmt.Sprint(value))
	}
	if n := number(t, where, raw["minLength"]); n != nil {
		p.MinLength = int(*n)
	}
	if n := number(t, where, raw["maxLength"]); n != nil {
		p.MaxLength = int(*n)
	}
	switch format := raw["format"].(type) {
	case string:
		p.Format = format
	case map[string]any:
		members := map[string]*property{}
		for _, member := range sortedKeys(format) {
			members[member] = s.property(t, where+"."+member, member, format[member].(map[string]any))
		}
		p.Dictionary = s.share(key, members)
	}
	return p
}

// share returns the name of a dictionary, an equal one's if there is one.
func (s *schema) share(name string, members map[string]*property) string {
	for i := 1; ; i++ {
		numbered := name
		if i > 1 {
			numbered += "#" + strconv.Itoa(i)
		}
		there := s.Dictionaries[numbered]
		if there == nil {
			s.Dictionaries[numbered] = members
		}
		if there == nil || reflect.DeepEqual(there, members) {
			return numbered
		}
	}
}

func isSet(v any) bool { return v != nil && v != false && v != 0.0 && v != "0" }

func asList(v any) []any { list, _ := v.([]any); return list }

func number(t *testing.T, where string, v any) *float64 {
	t.Helper()
	if v == nil {
		return nil
	}
	n, err := strconv.ParseFloat(fmt.Sprint(v), 64)
	if err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	return &n
}
