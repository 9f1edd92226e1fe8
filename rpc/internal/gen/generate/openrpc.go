package generate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/rpc"
)

// openRPC is the description for machines, OpenRPC 1.3 (spec.open-rpc.org).
func (d *document) openRPC() ([]byte, error) {
	methods := []any{d.openRPCMethod(rpc.Method{
		Name: api.MethodInitialize, Doc: "Begin a session.",
		Params: reflect.TypeFor[api.InitializeParams](), Result: reflect.TypeFor[api.InitializeResult](),
		Errors: []problem.Code{rpc.ProblemProtocol, rpc.ProblemRequest},
	})}
	for _, m := range d.methods {
		methods = append(methods, d.openRPCMethod(m))
	}
	schemas := map[string]any{}
	for _, t := range d.types {
		schemas[schemaName(t)] = d.object(t)
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(map[string]any{
		"openrpc": "1.3.2",
		"info": map[string]any{
			"title": "nixvmd", "version": fmt.Sprint(api.ProtocolVersion),
			"description": "JSON-RPC 2.0 with the framing of the Language Server Protocol over a unix socket. docs/protocol.md is its manual.",
			"license":     map[string]any{"name": "MIT"},
		},
		"methods":    methods,
		"components": map[string]any{"schemas": schemas},
	})
	return out.Bytes(), err
}

func (d *document) openRPCMethod(m rpc.Method) map[string]any {
	params := []any{}
	for _, f := range fieldsOf(m.Params) {
		params = append(params, map[string]any{
			"name": f.name, "description": d.source.field(f), "required": f.required, "schema": schema(f.typ),
		})
	}
	errs := []any{}
	for _, c := range m.Errors {
		errs = append(errs, map[string]any{
			"code": rpc.Number(c), "message": d.meaning(string(c)), "data": map[string]any{"code": c},
		})
	}
	return map[string]any{
		"name": m.Name, "description": m.Doc, "paramStructure": "by-name", "params": params,
		"result": map[string]any{"name": schemaName(m.Result), "schema": schema(m.Result)},
		"errors": errs,
	}
}

func (d *document) object(t reflect.Type) map[string]any {
	properties, required := map[string]any{}, []string{}
	for _, f := range fieldsOf(t) {
		s := schema(f.typ)
		s["description"] = d.source.field(f)
		properties[f.name] = s
		if f.required {
			required = append(required, f.name)
		}
	}
	return map[string]any{
		"type": "object", "description": d.source.describe(t), "properties": properties, "required": required,
	}
}

func (d *document) meaning(word string) string {
	for _, c := range d.source.codes {
		if c.code == word {
			return c.meaning
		}
	}
	return ""
}
