package story

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/nixvm/nixvm/cmd/nixvmd/internal/scripttest"
	"github.com/nixvm/nixvm/nixbuild"
	"github.com/nixvm/nixvm/nixbuild/trial/trialtest"
)

func TestMain(m *testing.M) { os.Exit(withProgram(m)) }

// withProgram puts nixvmd, built from this tree, on the PATH.
func withProgram(m *testing.M) int {
	bin, err := os.MkdirTemp("", "nixvmd-bin")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(bin)
	build := exec.Command("go", "build", "-buildvcs=false", "-o", filepath.Join(bin, "nixvmd"), "github.com/nixvm/nixvm/cmd/nixvmd")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build nixvmd: %v\n%s", err, out)
		return 1
	}
	if err := os.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// TestStory boots guests one after another: two emulated ones at a time only
// slow each other down. The story itself is told with the image that users get,
// the rest with the tiny one, which boots in a third of the time.
func TestStory(t *testing.T) {
	images := []nixbuild.Image{trialtest.Image(t, nixbuild.Immutable), trialtest.Tiny(t)}
	p := scripttest.Params("testdata/script")
	p.Cmds["vmProcess"] = vmProcess
	p.Cmds["cancelLast"] = cancelLast
	f := followers{}
	maps.Copy(p.Cmds, map[string]func(*testscript.TestScript, bool, []string){
		"background": f.background, "follow": f.follow, "followed": f.followed, "say": f.say, "interrupt": f.interrupt,
		"ends": f.ends, "killFollower": f.kill, "waitAgain": f.again,
	})
	setup := p.Setup
	p.Setup = func(env *testscript.Env) error {
		if err := setup(env); err != nil {
			return err
		}
		trialtest.Seed(t, filepath.Join(env.Getenv("NIXVM_HOME"), "data", "images"), images...)
		return nil
	}
	testscript.RunT(oneByOne{t}, p)
}

// TestNixOSStory is about images that nix builds. The small guest stands in for
// NixOS: nix builds its image, from a derivation, and the way is the same.
func TestNixOSStory(t *testing.T) {
	p := scripttest.WithNix(scripttest.Params("testdata/nix"), trialtest.Tiny(t).Dir)
	p.Cmds["vmProcess"] = vmProcess
	testscript.RunT(oneByOne{t}, p)
}

// oneByOne runs scripts in order.
type oneByOne struct{ *testing.T }

func (o oneByOne) Parallel()     {}
func (o oneByOne) Verbose() bool { return testing.Verbose() }
func (o oneByOne) Run(name string, f func(t testscript.T)) {
	o.T.Run(name, func(t *testing.T) { f(oneByOne{t}) })
}

// vmProcess checks that one QEMU process of the script runs; with ! that none does.
func vmProcess(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 0 {
		ts.Fatalf("usage: [!] vmProcess")
	}
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	ts.Check(err)
	found := 0
	for _, path := range lines {
		// A process that has ended meanwhile is none of ours.
		line, err := os.ReadFile(path)
		if err == nil && bytes.HasPrefix(line, []byte("qemu-system")) || bytes.Contains(line, []byte("/qemu-system")) {
			if bytes.Contains(line, []byte(ts.Getenv("NIXVM_HOME")+"/")) {
				found++
			}
		}
	}
	if want := map[bool]int{false: 1, true: 0}[neg]; found != want {
		ts.Fatalf("%d QEMU processes run, want %d", found, want)
	}
}

// cancelLast cancels the operation whose id was printed last, and waits for its end.
func cancelLast(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: cancelLast")
	}
	id := strings.TrimSpace(ts.ReadFile("stdout"))
	ts.Check(ts.Exec("nixvmd", "cancel", id))
	var exit *exec.ExitError
	if err := ts.Exec("nixvmd", "wait", id); !errors.As(err, &exit) || exit.ExitCode() != 130 {
		ts.Fatalf("a cancelled operation ended with %v", err)
	}
}
