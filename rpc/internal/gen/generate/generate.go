// Package generate makes documents from the types of packages api and rpc: the method
// table gives names and types by reflection, the source gives the comments.
package generate

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/rpc"
)

// Files returns the generated files by their path below the repository's root.
func Files(root string) (map[string][]byte, error) {
	d, err := newDocument(root)
	if err != nil {
		return nil, err
	}
	openrpc, err := d.openRPC()
	if err != nil {
		return nil, err
	}
	page, err := d.page()
	if err != nil {
		return nil, err
	}
	actions, err := actions()
	if err != nil {
		return nil, err
	}
	return map[string][]byte{
		"editor/testdata/actions.json":  actions,
		"rpc/openrpc.json":              openrpc,
		"docs/protocol.md":              page,
		"editor/vscode/src/protocol.ts": d.typeScript(),
	}, nil
}

// notification is a message without an answer, or LSP's own request.
type notification struct {
	name   string
	from   string // "client", "daemon"
	params reflect.Type
	doc    string
}

var notifications = []notification{
	{api.MethodInitialized, "client", nil, "The client is ready. From now on the daemon sends notifications; the first nixvm/didChange holds the full state."},
	{api.MethodExit, "client", nil, "End the session. Operations continue."},
	{api.MethodCancelRequest, "client", reflect.TypeFor[api.CancelParams](), "Cancel a request. If it began an operation, the operation is cancelled and its completed steps are undone."},
	{api.MethodProgressCancel, "client", reflect.TypeFor[api.WorkDoneProgressCancelParams](), "Cancel the operation behind a progress token."},
	{api.MethodDidChange, "daemon", reflect.TypeFor[api.DidChangeParams](), "Changes of state: first the full state, then deltas. Deltas of one machine are merged for a slow client; the latest state always arrives."},
	{api.MethodServerStatus, "daemon", reflect.TypeFor[api.ServerStatusParams](), "The state of the daemon as a whole, when it changes."},
	{api.MethodProgress, "daemon", reflect.TypeFor[api.ProgressParams](), "Progress of an operation: begin, reports, end."},
	{api.MethodShowMessage, "daemon", reflect.TypeFor[api.MessageParams](), "A message for the user, such as the outcome of an operation that was interrupted by the end of an earlier daemon."},
	{api.MethodLogMessage, "daemon", reflect.TypeFor[api.MessageParams](), "One line of output of a tool that an operation runs; only for clients that asked for it (initializationOptions.operationLog)."},
}

// document is everything that the three files are made from.
type document struct {
	source  source
	methods []rpc.Method
	types   []reflect.Type // every struct that a method or notification uses, by name
}

func newDocument(root string) (*document, error) {
	src, err := readSource(root)
	if err != nil {
		return nil, err
	}
	d := &document{source: src, methods: rpc.Methods()}
	seen := map[reflect.Type]bool{}
	for _, m := range d.methods {
		d.collect(m.Params, seen)
		d.collect(m.Result, seen)
	}
	d.collect(reflect.TypeFor[api.InitializeParams](), seen)
	d.collect(reflect.TypeFor[api.InitializeResult](), seen)
	d.collect(reflect.TypeFor[problem.Error](), seen)
	for _, n := range notifications {
		if n.params != nil {
			d.collect(n.params, seen)
		}
	}
	slices.SortFunc(d.types, func(a, b reflect.Type) int {
		if schemaName(a) < schemaName(b) {
			return -1
		}
		return 1
	})
	return d, d.check()
}

// collect finds all structs that a type leads to.
func (d *document) collect(t reflect.Type, seen map[reflect.Type]bool) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		d.collect(t.Elem(), seen)
		return
	case reflect.Struct:
	default:
		return
	}
	if seen[t] || scalar(t) != "" {
		return
	}
	seen[t] = true
	d.types = append(d.types, t)
	for _, f := range fieldsOf(t) {
		d.collect(f.typ, seen)
	}
}

// check refuses types and fields without a comment: the comments are the documentation.
func (d *document) check() error {
	for _, t := range d.types {
		if d.source.describe(t) == "" {
			return fmt.Errorf("type %s has no comment", schemaName(t))
		}
		for _, f := range fieldsOf(t) {
			if d.source.field(f) == "" {
				return fmt.Errorf("field %s.%s has no comment", f.owner, f.goName)
			}
		}
	}
	for _, c := range d.source.codes {
		if c.meaning == "" {
			return fmt.Errorf("the error code %s has no comment", c.code)
		}
	}
	return nil
}
