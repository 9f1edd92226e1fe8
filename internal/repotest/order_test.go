package repotest

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestFilesOfVMDependDownwards holds the files of package vm to an order: none uses,
// over any number of others, a file that uses it.
func TestFilesOfVMDependDownwards(t *testing.T) {
	if circle := findCircle(usesBetweenFiles(t, "./vm")); len(circle) > 0 {
		t.Errorf("the files of vm use each other in a circle: %s", strings.Join(circle, " -> "))
	}
}

func TestFindCircle(t *testing.T) {
	down := map[string][]string{"a": {"b", "c"}, "b": {"c"}, "c": nil}
	if circle := findCircle(down); circle != nil {
		t.Errorf("circle %v among files that depend downwards", circle)
	}
	down["c"] = []string{"a"}
	if circle := findCircle(down); !slices.Equal(circle, []string{"a", "b", "c", "a"}) {
		t.Errorf("circle %v, want a -> b -> c -> a", circle)
	}
}

// usesBetweenFiles returns, for each file of a package without its tests, which other
// files of the package declare what it uses.
func usesBetweenFiles(t *testing.T, dir string) map[string][]string {
	t.Helper()
	fset := token.NewFileSet()
	files, imports := listed(t, fset, dir)
	info := types.Info{Uses: map[*ast.Ident]types.Object{}}
	conf := types.Config{Importer: importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(imports[path])
	})}
	pkg, err := conf.Check(dir, fset, files, &info)
	if err != nil {
		t.Fatal(err)
	}
	name := func(pos token.Pos) string { return filepath.Base(fset.Position(pos).Filename) }
	uses := map[string][]string{}
	for id, object := range info.Uses {
		from, to := name(id.Pos()), name(object.Pos())
		if object.Pkg() == pkg && from != to && !slices.Contains(uses[from], to) {
			uses[from] = append(uses[from], to)
		}
	}
	if len(uses) < 10 {
		t.Fatalf("only %d files of %s use others: %v", len(uses), dir, uses)
	}
	return uses
}

// listed parses the files of a package, and returns where the compiled form of each
// package that it imports is.
func listed(t *testing.T, fset *token.FileSet, dir string) (files []*ast.File, imports map[string]string) {
	t.Helper()
	list := exec.Command("go", "list", "-export", "-deps", "-json=ImportPath,Export,DepOnly,Dir,GoFiles", dir)
	list.Dir = top
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		t.Fatalf("list %s: %v", dir, err)
	}
	imports = map[string]string{}
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath, Export, Dir string
			DepOnly                 bool
			GoFiles                 []string
		}
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return files, imports
		} else if err != nil {
			t.Fatal(err)
		}
		imports[p.ImportPath] = p.Export
		if p.DepOnly {
			continue
		}
		for _, name := range p.GoFiles {
			f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(fmt.Errorf("parse: %w", err))
			}
			files = append(files, f)
		}
	}
}

// findCircle returns a way from a file back to itself; nil if there is none.
func findCircle(uses map[string][]string) []string {
	done := map[string]bool{}
	var way []string
	var follow func(file string) []string
	follow = func(file string) []string {
		if i := slices.Index(way, file); i >= 0 {
			return append(slices.Clone(way[i:]), file)
		}
		if done[file] {
			return nil
		}
		way = append(way, file)
		for _, next := range slices.Sorted(slices.Values(uses[file])) {
			if circle := follow(next); circle != nil {
				return circle
			}
		}
		way = way[:len(way)-1]
		done[file] = true
		return nil
	}
	for _, file := range slices.Sorted(maps.Keys(uses)) {
		if circle := follow(file); circle != nil {
			return circle
		}
	}
	return nil
}
