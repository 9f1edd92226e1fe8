package repotest

import (
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// maxLines is the longest source file that we write by hand.
const maxLines = 600

func TestEveryPackageHasADocComment(t *testing.T) {
	documented := map[string]bool{}
	for _, f := range files(t, ".go") {
		if strings.HasSuffix(f.path, "_test.go") || strings.Contains(f.path, "/testdata/") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), f.path, f.text, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		dir := path.Dir(f.path)
		opening := "Package " + tree.Name.Name + " "
		if tree.Name.Name == "main" {
			opening = "Command " + path.Base(dir) + " "
		}
		documented[dir] = documented[dir] || strings.HasPrefix(tree.Doc.Text(), opening)
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("%s has no doc comment that begins with \"Package %s \" (or \"Command %[2]s \")", dir, path.Base(dir))
		}
	}
}

func TestNoSourceFileIsTooLongToRead(t *testing.T) {
	for _, f := range files(t, ".go", ".ts", ".el", ".nix", ".sh") {
		if n := len(f.lines()); n > maxLines && !f.generated() {
			t.Errorf("%s has %d lines, more than %d: which two things does it hold?", f.path, n, maxLines)
		}
	}
}

// maxBytes is more than any text or picture needs that belongs here.
const maxBytes = 1 << 20

func TestNoBuiltFileIsInTheRepository(t *testing.T) {
	for _, p := range paths(t) {
		if fi, err := os.Stat(filepath.Join(top, p)); err == nil && fi.Size() > maxBytes {
			t.Errorf("%s has %d bytes: what is built is not committed", p, fi.Size())
		}
	}
}

// The words are put together here so that this file does not hold them.
var unfinished = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|X` + `XX|not imple` + `mented|unimple` + `mented)\b`)

func TestNothingIsLeftUnfinished(t *testing.T) {
	for _, f := range files(t, ".go", ".ts", ".el", ".nix", ".sh", "Makefile") {
		for i, line := range f.lines() {
			if word := unfinished.FindString(line); word != "" && !f.generated() {
				t.Errorf("%s:%d: %q: do it, or write an issue", f.path, i+1, word)
			}
		}
	}
}

func TestNoPathOfThisMachineIsWrittenDown(t *testing.T) {
	root, err := filepath.Abs(top)
	if err != nil {
		t.Fatal(err)
	}
	places := []string{root + "/"}
	// Homes that every guest has as well are no machine's own.
	if home, err := os.UserHomeDir(); err == nil && !slices.Contains([]string{"/", "/root", "/home/user", "/home/admin"}, home) {
		places = append(places, home+"/")
	}
	for _, f := range files(t) {
		for i, line := range f.lines() {
			for _, place := range places {
				if strings.Contains(line, place) {
					t.Errorf("%s:%d holds %s, which exists on this machine only", f.path, i+1, place)
				}
			}
		}
	}
}

var fixedWait = regexp.MustCompile(`time\.Sleep\(|\bsleep [0-9]|setTimeout\([^,]+, *[0-9]{3,}|\(sleep-for `)

func TestNoTestWaitsForAFixedTime(t *testing.T) {
	for _, f := range files(t, "_test.go", ".test.ts", "-test.el", "-tests.el") {
		if f.path == "internal/repotest/source_test.go" {
			continue
		}
		for i, line := range f.lines() {
			// A program that is made to hang (exec sleep, Match exec) is not a wait of the test.
			if fixedWait.MatchString(line) && !strings.Contains(line, "exec ") {
				t.Errorf("%s:%d waits for a fixed time: wait for what it waits for, with a deadline", f.path, i+1)
			}
		}
	}
}

var silentSkip = regexp.MustCompile(`\.(Skip\(\)|SkipNow\(\))`)

func TestEverySkipSaysWhy(t *testing.T) {
	for _, f := range files(t, "_test.go") {
		if f.path == "internal/repotest/source_test.go" {
			continue
		}
		for i, line := range f.lines() {
			if silentSkip.MatchString(line) {
				t.Errorf("%s:%d skips without a reason", f.path, i+1)
			}
		}
	}
}

var shebang = regexp.MustCompile(`^#!.*\b(ba|da)?sh\b`)

func TestShellScriptsRunAndSayWhatTheyDo(t *testing.T) {
	for _, f := range files(t) {
		lines := f.lines()
		if !shebang.MatchString(lines[0]) || strings.HasPrefix(f.path, "nixbuild/") {
			continue // not a script, or one that is written into a guest
		}
		fi, err := os.Stat(filepath.Join(top, f.path))
		if err != nil {
			t.Fatal(err)
		}
		if fi.Mode()&0o111 == 0 {
			t.Errorf("%s has a #! line and is not executable", f.path)
		}
		if len(lines) < 2 || !strings.HasPrefix(lines[1], "# ") {
			t.Errorf("%s does not say in its second line what it does", f.path)
		}
	}
}

func TestLockFilesNameNoRegistry(t *testing.T) {
	for _, f := range files(t) {
		if name := path.Base(f.path); name != "package-lock.json" && name != "npm-shrinkwrap.json" {
			continue
		}
		for i, line := range f.lines() {
			if strings.Contains(line, `"resolved"`) {
				t.Errorf("%s:%d names a registry: each user installs from their own (omit-lockfile-registry-resolved)", f.path, i+1)
			}
		}
	}
}
