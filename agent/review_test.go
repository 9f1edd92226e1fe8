package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAReviewFlagsWhatCouldRun(t *testing.T) {
	h := newHouse(t)
	ran := filepath.Join(t.TempDir(), "ran")
	h.commit(
		".gitmodules", "[submodule \"x\"]\n\tpath = x\n\turl = ext::sh -c touch% "+ran+"\n", ".envrc", "touch "+ran, ".vscode/tasks.json", "{}",
		".gitattributes", "* filter=evil\n", "package.json", `{"scripts": {"postinstall": "x", "test": "y"}}`, "src/main.go", "package main\n", "a\x1b[31mb", "",
	)
	if err := os.Symlink("/etc/passwd", filepath.Join(h.project, "link")); err != nil {
		t.Fatal(err)
	}
	h.git(h.project, "update-index", "--add", "--cacheinfo", "160000,"+h.git(h.project, "rev-parse", "HEAD")+",x")
	h.git(h.project, "add", "link")
	h.git(h.project, "commit", "-q", "-m", "two\x1b]0;owned\x07 \u202etxt")
	h.git(h.checkout, "config", "filter.evil.smudge", "touch "+ran)
	h.git(h.checkout, "config", "diff.evil.textconv", "touch "+ran)
	r := h.must("")
	var flags []string
	for _, f := range r.Flags {
		for _, p := range f.Paths {
			flags = append(flags, f.Rule+" "+p.Path+" "+p.Found)
		}
		if f.Why == "" || f.Count != len(f.Paths) {
			t.Errorf("%+v", f)
		}
	}
	want := strings.Join([]string{
		"symlink link to /etc/passwd", `name "a\x1b[31mb" `, "submodule .gitmodules url ext::sh -c touch% " + ran, "submodule x a submodule",
		"git-attributes .gitattributes filter=evil", "shell .envrc ", "vscode .vscode/tasks.json ", "node package.json postinstall",
	}, "\n")
	// Two rules of one name and reason are one flag.
	if got := strings.Join(flags, "\n"); got != want {
		t.Errorf("the flags are\n%s\nwant\n%s", got, want)
	}
	if r.Commits[0].Subject != "two]0;owned txt" {
		t.Errorf("the subject is %q", r.Commits[0].Subject)
	}
	if _, err := os.Stat(ran); err == nil {
		t.Error("something of the branch ran")
	}
}

func TestWhatIsDeletedOrWasThereIsNotFlagged(t *testing.T) {
	h := newHouse(t)
	h.git(h.project, "checkout", "-q", "main")
	h.commit("Makefile", "all:\n", ".envrc", "x")
	h.git(h.checkout, "pull", "-q")
	h.git(h.project, "checkout", "-q", "-B", "dev/claude-work")
	h.git(h.project, "rm", "-q", ".envrc")
	h.commit("a", "1")
	if r := h.must(""); len(r.Flags) != 0 || r.FileCount != 2 || r.Files[0].Status != "deleted" {
		t.Errorf("%+v", r)
	}
	h.commit("Makefile", "all: x\n")
	if r := h.must(""); flag(r, "make") == nil {
		t.Errorf("a changed Makefile: %+v", r.Flags)
	}
}

func TestABranchWithoutCommonHistoryIsAllNew(t *testing.T) {
	h := newHouse(t)
	h.git(h.project, "checkout", "-q", "--orphan", "fresh")
	h.commit("a", "1")
	if r := h.must(""); r.Base != "" || r.CommitCount != 1 || r.FileCount != 2 {
		t.Errorf("%+v", r)
	}
	// And a checkout that has no commit yet.
	h.checkout += "-empty"
	h.git(filepath.Dir(h.checkout), "init", "-q", h.checkout)
	if r := h.must(""); r.Base != "" || r.CommitCount != 1 || r.FileCount != 2 {
		t.Errorf("in an empty checkout: %+v", r)
	}
}

// The dangerous file is behind so many others that no list has it.
func TestAFlagIsFoundBehindAnyNumberOfFiles(t *testing.T) {
	h := newHouse(t)
	h.tables(5000, "100644 zz/.envrc", "100644 zz/.mcp.json")
	r := h.must("")
	if len(r.Files) != maxFiles || r.FileCount < 5000 || r.Incomplete != "" {
		t.Errorf("%d of %d files, %s", len(r.Files), r.FileCount, r.Incomplete)
	}
	if flag(r, "shell") == nil || flag(r, "agent") == nil {
		t.Errorf("flags: %+v", r.Flags)
	}
	f := flag(r, "make")
	if f == nil || f.Count != 5000 || len(f.Paths) != maxPaths {
		t.Errorf("of 5000 files: %+v", f)
	}
}

// tables commits n files that are all flagged, through the index, and others.
func (h *house) tables(n int, others ...string) {
	h.t.Helper()
	blob := h.git(h.project, "hash-object", "-w", h.write("blob", "x\n"))
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "100644 %s\td%03d/f%06d/Makefile\n", blob, i%100, i)
	}
	for _, o := range others {
		mode, name, _ := strings.Cut(o, " ")
		fmt.Fprintf(&b, "%s %s\t%s\n", mode, blob, name)
	}
	list := h.write("index", b.String())
	out, err := shellOut(h.project, "git update-index --add --index-info < "+quote(list)+" && git commit -q -m many")
	if err != nil {
		h.t.Fatalf("%v: %s", err, out)
	}
}
