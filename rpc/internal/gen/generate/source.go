package generate

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// source is what only the source text says: comments.
type source struct {
	types  map[string]string // by package.Type
	fields map[string]string // by package.Type.Field
	codes  []code
}

// code is one dotted word of an error.
type code struct {
	name    string // of the Go constant
	code    string
	meaning string
}

// describe is the comment of a type, which begins with its name in the documents.
func (s source) describe(t reflect.Type) string {
	doc := s.types[t.String()]
	if rest, ok := strings.CutPrefix(doc, t.Name()+" "); ok {
		doc = schemaName(t) + " " + rest
	}
	return doc
}

func (s source) field(f field) string { return s.fields[f.owner.String()+"."+f.goName] }

func readSource(root string) (source, error) {
	s := source{types: map[string]string{}, fields: map[string]string{}}
	for _, dir := range []string{"api", "rpc", "internal/problem"} {
		paths, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
		if err != nil {
			return s, err
		}
		for _, path := range paths {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
			if err != nil {
				return s, err
			}
			s.read(f)
		}
	}
	slices.SortFunc(s.codes, func(a, b code) int { return strings.Compare(a.code, b.code) })
	return s, nil
}

func (s *source) read(f *ast.File) {
	for _, d := range f.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range g.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				s.readType(f.Name.Name, spec, comment(firstOf(spec.Doc, g.Doc)))
			case *ast.ValueSpec:
				s.readCode(spec)
			}
		}
	}
}

func (s *source) readType(pkg string, t *ast.TypeSpec, doc string) {
	name := pkg + "." + t.Name.Name
	s.types[name] = doc
	st, ok := t.Type.(*ast.StructType)
	if !ok {
		return
	}
	for _, f := range st.Fields.List {
		for _, n := range f.Names {
			s.fields[name+"."+n.Name] = comment(firstOf(f.Doc, f.Comment))
		}
	}
}

// readCode takes constants of type problem.Code.
func (s *source) readCode(v *ast.ValueSpec) {
	isCode := false
	switch t := v.Type.(type) {
	case *ast.Ident:
		isCode = t.Name == "Code"
	case *ast.SelectorExpr:
		isCode = t.Sel.Name == "Code"
	}
	if !isCode || len(v.Values) != 1 {
		return
	}
	lit, ok := v.Values[0].(*ast.BasicLit)
	if !ok {
		return
	}
	value, err := strconv.Unquote(lit.Value)
	if err != nil {
		return
	}
	s.codes = append(s.codes, code{name: v.Names[0].Name, code: value, meaning: comment(firstOf(v.Doc, v.Comment))})
}

func firstOf(groups ...*ast.CommentGroup) *ast.CommentGroup {
	for _, g := range groups {
		if g != nil {
			return g
		}
	}
	return nil
}

// comment is the text as one paragraph.
func comment(g *ast.CommentGroup) string {
	if g == nil {
		return ""
	}
	return strings.Join(strings.Fields(g.Text()), " ")
}
