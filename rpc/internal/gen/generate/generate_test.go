package generate

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// What is generated is committed, and must be what the types say now.
func TestGeneratedFilesAreUpToDate(t *testing.T) {
	root := filepath.Join("..", "..", "..", "..")
	files, err := Files(root)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Errorf("%v; run go generate ./rpc", err)
			continue
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is out of date; run go generate ./rpc", name)
		}
	}
}

func TestEveryReferenceOfOpenRPCResolves(t *testing.T) {
	files, err := Files(filepath.Join("..", "..", "..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Methods    []any
		Components struct{ Schemas map[string]any }
	}
	if err := json.Unmarshal(files["rpc/openrpc.json"], &doc); err != nil {
		t.Fatal(err)
	}
	const prefix = "#/components/schemas/"
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok && doc.Components.Schemas[ref[len(prefix):]] == nil {
				t.Errorf("%s leads nowhere", ref)
			}
			for _, e := range v {
				walk(e)
			}
		}
	}
	walk(any(doc.Methods))
	for _, s := range doc.Components.Schemas {
		walk(s)
	}
	if len(doc.Methods) < 30 {
		t.Errorf("only %d methods", len(doc.Methods))
	}
}
