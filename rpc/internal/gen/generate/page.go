package generate

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"text/template"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/rpc"
)

//go:embed protocol.md.tmpl
var pageTemplate string

// page is the description for people: a hand-written introduction, and tables.
func (d *document) page() ([]byte, error) {
	t, err := template.New("protocol.md").Parse(pageTemplate)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = t.Execute(&out, map[string]any{
		"Version": api.ProtocolVersion, "Methods": d.pageMethods(), "Notifications": d.pageNotifications(),
		"Types": d.pageTypes(), "Codes": d.pageCodes(),
	})
	return out.Bytes(), err
}

func (d *document) pageMethods() string {
	var b strings.Builder
	for _, m := range d.methods {
		doc := m.Doc
		if m.Work {
			doc += " *Begins an operation.*"
		}
		fmt.Fprintf(&b, "### %s\n\n%s\n\n", m.Name, wrap(doc, ""))
		b.WriteString(d.table("Parameter", m.Params))
		answer := fmt.Sprintf("Answer: %s.", word(m.Result))
		if len(m.Errors) > 0 {
			words := make([]string, 0, len(m.Errors))
			for _, c := range m.Errors {
				words = append(words, "`"+string(c)+"`")
			}
			answer += fmt.Sprintf(" Errors: %s.", strings.Join(words, ", "))
		}
		fmt.Fprintf(&b, "%s\n\n```json\n%s\n```\n\n", wrap(answer, ""), example(m))
	}
	return b.String()
}

// table lists the properties; those that every request has are left out.
func (d *document) table(title string, t reflect.Type) string {
	var b strings.Builder
	for _, f := range fieldsOf(t) {
		if (f.owner.Name() == "Tokens" || f.owner.Name() == "Work") && t != f.owner {
			continue
		}
		if b.Len() == 0 {
			fmt.Fprintf(&b, "| %s | Type | |\n|---|---|---|\n", title)
		}
		need := ""
		if f.required && title == "Parameter" {
			need = " **required**"
		}
		fmt.Fprintf(&b, "| `%s`%s | %s | %s |\n", f.name, need, word(f.typ), strings.ReplaceAll(d.source.field(f), "|", "\\|"))
	}
	if b.Len() > 0 {
		b.WriteString("\n")
	}
	return b.String()
}

func (d *document) pageNotifications() string {
	var b strings.Builder
	for _, n := range notifications {
		params := ""
		if n.params != nil {
			params = fmt.Sprintf(", params %s", word(n.params))
		}
		b.WriteString(wrap(fmt.Sprintf("- **%s** (from the %s%s): %s", n.name, n.from, params, n.doc), "  ") + "\n")
	}
	return b.String()
}

func (d *document) pageTypes() string {
	var b strings.Builder
	params := map[reflect.Type]bool{}
	for _, m := range d.methods {
		params[m.Params] = true
	}
	for _, t := range d.types {
		if !params[t] {
			fmt.Fprintf(&b, "### %s\n\n%s\n\n%s", schemaName(t), wrap(d.source.describe(t), ""), d.table("Property", t))
		}
	}
	return b.String()
}

func (d *document) pageCodes() string {
	var b strings.Builder
	b.WriteString("| Code | Number | Meaning |\n|---|---|---|\n")
	for _, c := range d.source.codes {
		fmt.Fprintf(&b, "| `%s` | %d | %s |\n", c.code, rpc.Number(problem.Code(c.code)), c.meaning)
	}
	return b.String()
}

// samples are values for the required parameters in examples.
var samples = map[string]any{
	"name": "demo", "confirm": "demo", "snapshot": "before-refactor", "host": "demo", "agent": "claude", "id": "01K9Z6YB1T4V2M8Q0RSD3F5GHJ",
	"forward": "8080 localhost:8080", "newName": "demo-2", "backend": "lab", "action": "undo",
	"backup": "demo-20261130-120000", "directory": "/home/you/nixos-vm-template", "ref": "refs/nixvm/demo/dev/claude-work",
}

// example is a request with its required parameters. The daemon takes each of them:
// a test of package rpc reads the page.
func example(m rpc.Method) string {
	params := map[string]any{}
	for _, f := range fieldsOf(m.Params) {
		if f.required {
			v, ok := samples[f.name]
			if !ok {
				panic("no sample for the parameter " + f.name + " of " + m.Name)
			}
			params[f.name] = v
		}
	}
	if m.Work {
		params["workDoneToken"] = 1
	}
	body, err := json.Marshal(params)
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	return fmt.Sprintf(`{"jsonrpc": "2.0", "id": 2, "method": %q, "params": %s}`, m.Name, body)
}
