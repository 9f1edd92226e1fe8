package repotest

import (
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

var (
	markdownLink = regexp.MustCompile(`\]\(([^()\s]+)\)|<img[^>]* src="([^"]+)"`)
	fence        = regexp.MustCompile("^ *(```|~~~)")
	makeCommand  = regexp.MustCompile(`(?:^|[\s` + "`" + `$])make ([a-z][a-z-]*)`)
	nixvmCommand = regexp.MustCompile(`(?:^|[\s` + "`" + `$/])nixvmd ([a-z][a-z-]*)([^` + "`" + `|#\n]*)`)
	longFlag     = regexp.MustCompile(`(?:^|\s)(--[a-z][a-z-]*)`)
)

func TestRelativeLinksResolve(t *testing.T) {
	anchors := map[string][]string{}
	docs := files(t, ".md")
	for _, f := range docs {
		anchors[f.path] = headingAnchors(f)
	}
	for _, f := range docs {
		for _, link := range links(f) {
			target, anchor, _ := strings.Cut(link, "#")
			if strings.Contains(target, ":") {
				continue // an address of the web
			}
			full := f.path
			if target != "" {
				full = path.Join(path.Dir(f.path), target)
				if _, err := os.Stat(filepath.Join(top, full)); err != nil {
					t.Errorf("%s links to %s, which is not there", f.path, link)
					continue
				}
			}
			if known, ok := anchors[full]; anchor != "" && ok && !slices.Contains(known, anchor) {
				t.Errorf("%s links to %s: %s has no such heading", f.path, link, full)
			}
		}
	}
}

// links returns the targets of the links and pictures outside code blocks.
func links(f file) []string {
	var found []string
	inCode := false
	for _, line := range f.lines() {
		if fence.MatchString(line) {
			inCode = !inCode
		}
		if inCode {
			continue
		}
		for _, m := range markdownLink.FindAllStringSubmatch(line, -1) {
			found = append(found, m[1]+m[2])
		}
	}
	return found
}

// headingAnchors are the names that a Markdown viewer gives to the headings.
func headingAnchors(f file) []string {
	var found []string
	for _, line := range f.lines() {
		if !strings.HasPrefix(line, "#") {
			continue
		}
		anchor := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, strings.TrimSpace(strings.TrimLeft(line, "#")))
		found = append(found, anchor)
	}
	return found
}

func TestMakeTargetsInTheDocumentsExist(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(top, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files(t, ".md") {
		for _, command := range commands(f) {
			for _, m := range makeCommand.FindAllStringSubmatch(command, -1) {
				rule := regexp.MustCompile(`(?m)^([a-z-]+ )*` + regexp.QuoteMeta(m[1]) + `( [a-z-]+)*:`)
				if !rule.Match(makefile) {
					t.Errorf("%s says `make %s`: there is no such target", f.path, m[1])
				}
			}
		}
	}
}

// commands returns what stands in code blocks and between backquotes.
func commands(f file) []string {
	var found []string
	inCode := false
	for _, line := range f.lines() {
		switch {
		case fence.MatchString(line):
			inCode = !inCode
		case inCode || strings.HasPrefix(line, "    "):
			found = append(found, line)
		default:
			for i, part := range strings.Split(line, "`") {
				if i%2 == 1 {
					found = append(found, part)
				}
			}
		}
	}
	return found
}

func TestVerbsAndFlagsInTheDocumentsExist(t *testing.T) {
	program := filepath.Join(t.TempDir(), "nixvmd")
	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", program, "./cmd/nixvmd")
	build.Dir = top
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build ./cmd/nixvmd: %v\n%s", err, out)
	}

	help := map[string]string{} // by verb; empty: there is no such verb
	for _, f := range files(t, ".md") {
		for _, command := range commands(f) {
			for _, m := range nixvmCommand.FindAllStringSubmatch(command, -1) {
				verb := m[1]
				if _, asked := help[verb]; !asked {
					help[verb] = helpOf(t, program, verb)
				}
				if help[verb] == "" {
					t.Errorf("%s says `nixvmd %s`: there is no such verb", f.path, verb)
					continue
				}
				// What follows -- is for the program in the guest.
				own, _, _ := strings.Cut(m[2], " -- ")
				for _, flag := range longFlag.FindAllStringSubmatch(own, -1) {
					if !strings.Contains(help[verb], flag[1]) {
						t.Errorf("%s says `nixvmd %s %s`: there is no such flag", f.path, verb, flag[1])
					}
				}
			}
		}
	}
}

// helpOf returns what the program says of one verb, with the flags that hidden
// subcommands of it have.
func helpOf(t *testing.T, program, verb string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, "help", verb)
	// A home of its own: asking for help must touch nothing, and does not here.
	cmd.Env = append(os.Environ(), "NIXVM_HOME="+t.TempDir())
	out, err := cmd.CombinedOutput()
	if err != nil {
		return ""
	}
	return string(out)
}
