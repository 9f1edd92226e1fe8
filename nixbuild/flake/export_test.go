package flake

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAnExportHoldsWhatCannotBeHadAgain(t *testing.T) {
	home := t.TempDir()
	for _, name := range []string{
		".claude/projects/one.jsonl", ".claude.json", ".ssh/id_ed25519", ".cache/big", "notes/readme",
		"git/app/.git/HEAD", "git/app/main.go", "git/app/node_modules/x/index.js", "git/app/target/debug/app",
		"node_modules/y/.git/HEAD", ".cargo/registry/z/.git/HEAD", "git/deep/er/tree/.git/HEAD", "bare.git/HEAD", "bare.git/objects/ab",
		"-odd name/.git/HEAD", "HEAD-of/HEAD",
	} {
		write(t, filepath.Join(home, name), name)
	}
	run := func(args ...string) (string, error) {
		t.Helper()
		cmd := exec.Command("bash", append([]string{"-euo", "pipefail", "modules/agents/export.sh"}, args...)...)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home}
		out, err := cmd.Output()
		return string(out), err
	}
	archive, err := run("-")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := run("mine.tar.gz"); err != nil || out != "" {
		t.Fatalf("%q, %v", out, err)
	}
	info, err := os.Stat(filepath.Join(home, "mine.tar.gz"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v", info.Mode(), err)
	}
	want := []string{
		".claude.json", ".claude/projects/one.jsonl", ".ssh/id_ed25519", "-odd name/.git/HEAD", "bare.git/HEAD", "bare.git/objects/ab",
		"git/app/.git/HEAD", "git/app/main.go", "git/deep/er/tree/.git/HEAD",
	}
	slices.Sort(want)
	list := exec.Command("tar", "tz")
	list.Stdin = strings.NewReader(archive)
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for name := range strings.Lines(string(out)) {
		if name = strings.TrimPrefix(strings.TrimSpace(name), "./"); !strings.HasSuffix(name, "/") {
			got = append(got, name)
		}
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := run("nowhere/mine.tar.gz"); err == nil || exists(filepath.Join(home, "nowhere")) {
		t.Errorf("into a directory that is not there: %v", err)
	}
	if _, err := run("--help"); err == nil {
		t.Error("an option is a file")
	}
}
