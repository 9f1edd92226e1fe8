package story

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/nixvm/nixvm/backends/libvirt/libvirttest"
	"github.com/nixvm/nixvm/cmd/nixvmd/internal/scripttest"
	"github.com/nixvm/nixvm/nixbuild/trial/trialtest"
)

// earlier is the commit of the nixvmd whose installation is taken over. What it
// writes is the fixture: real VMs, disks, records and a journal, not copies of
// them that nothing would notice to be wrong.
const earlier = "222358088764ceb3029741d656aa1bdd42938b24"

// TestUpgradeStory is about a nixvmd that is replaced by a newer one.
func TestUpgradeStory(t *testing.T) {
	image := trialtest.Tiny(t)
	programs := map[string]string{"earlier": earlierProgram(t), "current": currentProgram(t)}
	hosts := map[string]*libvirttest.Host{"left": libvirttest.Start(t)}
	config := configOf(t, hosts, map[string]string{"left": "10.77.0.1"})
	config = strings.Replace(config, `default_backend = "left"`, `default_backend = "qemu"`, 1) + "[backends.qemu]\ntype = \"qemu\"\n"
	p := scripttest.Params("testdata/upgrade")
	p.Cmds["vmProcess"] = vmProcess
	f := followers{}
	p.Cmds["background"], p.Cmds["followed"], p.Cmds["say"] = f.background, f.followed, f.say
	// install PROGRAM: as a package manager does it, by a rename.
	p.Cmds["install"] = func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) != 1 || programs[args[0]] == "" {
			ts.Fatalf("usage: install earlier|current")
		}
		bin := filepath.Join(ts.Getenv("WORK"), "bin")
		content, err := os.ReadFile(programs[args[0]])
		ts.Check(err)
		ts.Check(os.WriteFile(filepath.Join(bin, "new"), content, 0o755)) //nolint:gosec // a program
		ts.Check(os.Rename(filepath.Join(bin, "new"), filepath.Join(bin, "nixvmd")))
	}
	p.Cmds["virsh"] = virshOf(hosts)
	setup := p.Setup
	p.Setup = func(env *testscript.Env) error {
		bin := filepath.Join(env.WorkDir, "bin")
		if err := os.Mkdir(bin, 0o755); err != nil { //nolint:gosec // QEMU's user passes through
			return err
		}
		env.Setenv("PATH", bin+string(os.PathListSeparator)+env.Getenv("PATH"))
		if err := setup(env); err != nil {
			return err
		}
		return furnish(t, env.Getenv("NIXVM_HOME"), config, image)
	}
	testscript.RunT(oneByOne{t}, p)
}

// currentProgram is the nixvmd that TestMain built.
func currentProgram(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("nixvmd")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// earlierProgram builds nixvmd as it was at that commit, once.
func earlierProgram(t *testing.T) string {
	t.Helper()
	cache, err := trialtest.Dir()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(cache, "nixvmd-"+earlier[:12])
	if _, err := os.Stat(program); err == nil {
		return program
	}
	out, err := exec.CommandContext(t.Context(), "git", "rev-parse", "--show-toplevel").Output()
	top := strings.TrimSpace(string(out))
	if err == nil {
		err = exec.CommandContext(t.Context(), "git", "-C", top, "cat-file", "-e", earlier).Run()
	}
	if err != nil {
		t.Skipf("the history of this checkout does not reach back to %s, the nixvmd whose installation is taken over here: git fetch --unshallow", earlier[:12])
	}
	source := t.TempDir()
	run(t, source, "git", "-C", top, "archive", "--output", filepath.Join(source, "source.tar"), earlier)
	run(t, source, "tar", "-xf", "source.tar")
	built := fmt.Sprintf("%s.%d", program, os.Getpid())
	run(t, source, "go", "build", "-buildvcs=false", "-o", built, "./cmd/nixvmd")
	if err := os.Rename(built, program); err != nil {
		t.Fatal(err)
	}
	return program
}

func run(t *testing.T, dir, program string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", program, err, out)
	}
}
