package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nixvm/nixvm/internal/problem"
)

func TestAPullWritesOneReferenceAndNothingElse(t *testing.T) {
	h := newHouse(t)
	ran := filepath.Join(t.TempDir(), "ran")
	for _, hook := range []string{"reference-transaction", "post-checkout", "post-merge", "post-index-change"} {
		h.write(filepath.Join(h.checkout, ".git/hooks", hook), "#!/bin/sh\ntouch "+ran+"\n")
	}
	h.git(h.project, "tag", "v1")
	h.commit("a.txt", "one\ntwo\n", "README.md", "bye\n")
	h.git(h.project, "tag", "v2")
	h.git(h.project, "branch", "other")
	r := h.must("")
	if got := h.refs(); got != "refs/nixvm/demo/dev/claude-work" {
		t.Errorf("the references are %s", got)
	}
	if _, err := os.Stat(ran); err == nil {
		t.Error("a hook of the checkout ran")
	}
	if r.Ref != h.refs() || r.Base != h.git(h.checkout, "rev-parse", "HEAD") || r.Commit != h.git(h.project, "rev-parse", "HEAD") {
		t.Errorf("%+v", r)
	}
	if r.CommitCount != 1 || len(r.Commits) != 1 || r.Commits[0].Subject != "change a.txt" || r.Commits[0].Author != "Test" || r.Commits[0].Date.IsZero() {
		t.Errorf("the commits are %+v", r.Commits)
	}
	var files []string
	for _, f := range r.Files {
		files = append(files, fmt.Sprintf("%s %s +%d -%d", f.Status, f.Path, *f.Added, *f.Deleted))
	}
	if got, want := strings.Join(files, ", "), "modified README.md +1 -1, added a.txt +2 -0"; got != want || r.FileCount != 2 {
		t.Errorf("the files are %s, want %s", got, want)
	}
	if len(r.Flags) != 0 || r.Incomplete != "" {
		t.Errorf("flags: %+v %s", r.Flags, r.Incomplete)
	}
	if _, err := os.Stat(h.quarantine); err == nil {
		t.Error("the quarantine is left")
	}
}

func TestOnlyWhatTheCheckoutDoesNotHaveIsSent(t *testing.T) {
	h := newHouse(t)
	h.git(h.project, "checkout", "-q", "main")
	noise := make([]byte, 300<<10)
	for i := range noise {
		noise[i] = byte(i * i >> 3 * 7919 >> (i % 5))
	}
	h.commit("big", string(noise))
	h.git(h.checkout, "pull", "-q")
	h.git(h.project, "checkout", "-q", "-B", "dev/claude-work")
	h.commit("small", "x")
	h.must("")
	if h.sent == 0 || h.sent > 10<<10 {
		t.Errorf("%d bytes were sent", h.sent)
	}
	h.commit("small", "y")
	if r := h.must(""); r.CommitCount != 2 {
		t.Errorf("after the second pull: %+v", r.Commits)
	}
}

func TestABranchThatLooksLikeAnOptionIsABranch(t *testing.T) {
	h := newHouse(t)
	h.commit("a", "b")
	ran := filepath.Join(t.TempDir(), "ran")
	branch := "--upload-pack=touch$IFS" + strings.ReplaceAll(ran, "/", "$(printf${IFS}x)")
	h.git(h.project, "update-ref", "refs/heads/"+branch, "HEAD")
	h.git(h.project, "update-ref", "refs/heads/--output=x", "HEAD")
	for _, name := range []string{branch, "--output=x"} {
		if r := h.must(name); r.Ref != "refs/nixvm/demo/"+name || r.CommitCount != 1 {
			t.Errorf("%+v", r)
		}
	}
	h.git(h.project, "symbolic-ref", "HEAD", "refs/heads/--output=x")
	if r := h.must(""); r.Ref != "refs/nixvm/demo/--output=x" {
		t.Errorf("as HEAD: %+v", r)
	}
}

func TestWhatIsNotThereIsNamed(t *testing.T) {
	h := newHouse(t)
	h.refused("none", problem.RepositoryNotFound, "no branch none")
	h.git(h.project, "checkout", "-q", "--detach")
	h.refused("", problem.RepositoryNotFound, "no branch is checked out")
	project := h.project
	h.project = filepath.Join(filepath.Dir(project), "nowhere")
	h.refused("", problem.RepositoryNotFound, "cannot be read")
	h.refused("main", problem.RepositoryNotFound, "cannot be read")
	h.project = project
	if _, err := Open(t.Context(), t.TempDir()); !problem.HasCode(err, problem.RepositoryNotFound) {
		t.Errorf("a directory that is no checkout: %v", err)
	}
	if _, err := Open(t.Context(), filepath.Join(project, "README.md")); !problem.HasCode(err, problem.RepositoryNotFound) {
		t.Errorf("a file: %v", err)
	}
}

func TestAGuestThatSendsTooMuchIsCutOff(t *testing.T) {
	h := newHouse(t)
	h.limits.Bytes = 64 << 10
	for what, script := range map[string]string{
		"for ever":      "yes 0032want-nothing-but-more-of-this-text",
		"references":    `i=0; while :; do printf '004a%040d refs/heads/branch-%09d-x\n' 1 $i; i=$((i+1)); done`,
		"a large chunk": "head -c 10000000 /dev/zero",
	} {
		h.uploadPack = h.write("upload-pack", "#!/bin/sh\n"+script+"\n")
		_, err := h.pull(t.Context(), "dev/claude-work")
		if err == nil || !problem.HasCode(err, problem.PullTooLarge) && !problem.HasCode(err, problem.PullFailed) {
			t.Errorf("%s: %v", what, err)
		}
		if h.refs() != "" {
			t.Errorf("%s: the references are %s", what, h.refs())
		}
	}
	h.uploadPack = ""
	var b strings.Builder
	for i := range 40000 {
		fmt.Fprintf(&b, "%x\n", i*2654435761)
	}
	h.commit("large", b.String())
	h.refused("", problem.PullTooLarge, "more than")
}

func TestAGuestThatSendsNothingIsGivenUp(t *testing.T) {
	h := newHouse(t)
	h.limits.Silence = 300 * time.Millisecond
	h.uploadPack = h.write("upload-pack", "#!/bin/sh\nexec sleep 1000\n")
	h.refused("main", problem.PullFailed, "has sent nothing")
	h.limits = DefaultLimits()
	h.limits.Total = 300 * time.Millisecond
	h.refused("main", problem.PullFailed, "has not arrived")
}

func TestACancelledPullEndsAtOnce(t *testing.T) {
	h := newHouse(t)
	begun := filepath.Join(t.TempDir(), "begun")
	h.uploadPack = h.write("upload-pack", "#!/bin/sh\nmkfifo "+begun+"; cat "+begun+"\n")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for ctx.Err() == nil {
			if _, err := os.Stat(begun); err == nil {
				cancel()
			}
		}
	}()
	if _, err := h.pull(ctx, "main"); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestAGitThatLiesIsRefused(t *testing.T) {
	h := newHouse(t)
	h.limits.Silence = 2 * time.Second // some wait for an answer
	for what, script := range map[string]string{
		"text":               `printf '\033[2J\033]0;owned\007 hello'`,
		"an error":           `printf '\033[31mfatal: \033]52;c;eA==\007 no\n' >&2; exit 1`,
		"nothing":            "exit 0",
		"no pack":            `printf '003d0000000000000000000000000000000000000001 refs/heads/main\n0000'; cat >/dev/null`,
		"another protocol":   `printf '000eversion 9\n0000'; cat >/dev/null`,
		"a sideband message": `printf '0015ERR \033[31mgo away\n'; cat >/dev/null`,
	} {
		h.uploadPack = h.write("upload-pack", "#!/bin/sh\n"+script+"\n")
		if _, err := h.pull(t.Context(), "main"); err == nil || problem.From(err).Code == problem.Internal {
			t.Errorf("%s: %v", what, err)
		}
		if h.refs() != "" {
			t.Errorf("%s: the references are %s", what, h.refs())
		}
	}
}

// tree makes a tree that git itself would refuse to make, and commits it.
func (h *house) tree(lines ...string) {
	h.t.Helper()
	blob := h.git(h.project, "hash-object", "-w", h.write("hook", "#!/bin/sh\ntouch /tmp/owned\n"))
	var raw strings.Builder
	for _, l := range lines {
		mode, name, _ := strings.Cut(l, " ")
		raw.WriteString(mode + " " + name + "\x00")
		for i := 0; i < len(blob); i += 2 {
			var b byte
			_, _ = fmt.Sscanf(blob[i:i+2], "%02x", &b)
			raw.WriteByte(b)
		}
	}
	tree := h.git(h.project, "hash-object", "-t", "tree", "-w", "--literally", h.write("tree", raw.String()))
	h.git(h.project, "update-ref", "HEAD", h.git(h.project, "commit-tree", "-m", "bad", "-p", "HEAD", tree))
}

func TestATreeWithAGitDirectoryIsRefused(t *testing.T) {
	for _, entry := range []string{"100644 .git", "100644 .GIT", "100644 ..", "100644 a/b"} {
		h := newHouse(t)
		h.tree(entry)
		h.refused("", problem.PullFailed, "does not accept")
	}
}

func TestAShallowCloneIsExplained(t *testing.T) {
	h := newHouse(t)
	h.commit("a", "1")
	h.commit("a", "2")
	whole := h.project
	h.project += "-shallow"
	h.git(filepath.Dir(whole), "clone", "-q", "--depth=1", "file://"+whole, h.project)
	h.commit("a", "3")
	h.refused("", problem.PullFailed, "shallow")
}

func TestAReferenceInTheWayIsExplained(t *testing.T) {
	h := newHouse(t)
	h.git(h.checkout, "update-ref", "refs/nixvm/demo/dev", "HEAD")
	h.commit("a", "1")
	h.refused("", problem.PullFailed, "cannot be written")
}

func TestReturnSetsTheReferenceBackUnlessItHasChanged(t *testing.T) {
	h := newHouse(t)
	first := h.must("")
	h.commit("a", "1")
	second := h.must("")
	c, err := Open(t.Context(), h.checkout)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		t    Taken
		want string
	}{
		{Taken{Ref: second.Ref, Former: second.Commit, Commit: first.Commit}, second.Commit}, // it never came to pass
		{Taken{Ref: second.Ref, Former: first.Commit, Commit: second.Commit}, first.Commit},
		{Taken{Ref: second.Ref, Former: first.Commit, Commit: second.Commit}, first.Commit}, // again
		{Taken{Ref: second.Ref, Commit: second.Commit}, first.Commit},                       // another one since
		{Taken{Ref: second.Ref, Commit: first.Commit}, ""},
		{Taken{Ref: second.Ref, Commit: first.Commit}, ""},
	} {
		if err := c.Return(t.Context(), tc.t); err != nil {
			t.Fatal(err)
		}
		if got, err := c.Value(t.Context(), second.Ref); got != tc.want || err != nil {
			t.Errorf("%+v: %q, %v", tc.t, got, err)
		}
	}
}

func TestUncommittedChangesAreNoticed(t *testing.T) {
	h := newHouse(t)
	if Dirty(t.Context(), &shell{h}, h.project) {
		t.Error("a clean tree has changes")
	}
	h.write(filepath.Join(h.project, "new"), "x")
	if !Dirty(t.Context(), &shell{h}, h.project) {
		t.Error("a changed tree has none")
	}
	if Dirty(t.Context(), &shell{h}, "/nowhere") {
		t.Error("no tree has changes")
	}
}

// A daemon that a hook or an editor has started may have variables of git.
func TestVariablesOfTheDaemonDoNotMatter(t *testing.T) {
	h := newHouse(t)
	h.commit("a", "1")
	c, err := Open(t.Context(), h.checkout)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("GIT_DIR", "/nowhere")
	t.Setenv("GIT_INDEX_FILE", "/nowhere")
	t.Setenv("GIT_ALLOW_PROTOCOL", "ext")
	again, err := Open(t.Context(), h.checkout)
	if err != nil || again.objects != c.objects {
		t.Errorf("%+v, %v", again, err)
	}
}
