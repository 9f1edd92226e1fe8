package sshconfig

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/nixvm/nixvm/internal/paths"
	"github.com/nixvm/nixvm/internal/problem"
)

// helper is another process: it applies one host in the home directory that
// the job names, and may die in the middle.
//
//	job: "<apply|die> <home> <machine>"
func helper(job string) int {
	if at, ok := strings.CutPrefix(job, "place "); ok {
		return inPlace(at)
	}
	words := strings.Fields(job)
	home := words[1]
	c, err := Open(Options{
		Layout:     paths.Under(filepath.Join(home, words[2])),
		UserConfig: filepath.Join(home, ".ssh", "config"),
		Executable: "/opt/nixvm/bin/nixvmd",
	})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	if words[0] == "die" {
		c.beforeRename = func() { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL) }
	}
	if _, err := c.Apply(context.Background(), hosts(words[2])); err != nil {
		p := problem.From(err)
		fmt.Println(p.Code, p.Message, p.Hint)
		return 1
	}
	return 0
}

func runHelper(t *testing.T, job string) (string, error) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helperEnv+"="+job)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestKilledBetweenTempAndRename(t *testing.T) {
	home := shortDir(t)
	content := "Host *\r\n  User me"
	config := filepath.Join(home, ".ssh", "config")
	if err := os.MkdirAll(filepath.Dir(config), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, []byte(content), 0o640); err != nil {
		t.Fatal(err)
	}
	if out, err := runHelper(t, "die "+home+" demo"); err == nil || out != "" {
		t.Fatalf("the helper was not killed: %v %s", err, out)
	}
	if got := read(t, config); got != content {
		t.Fatalf("after the kill: %q", got)
	}
	if left, _ := filepath.Glob(filepath.Join(home, ".ssh", tempPrefix+"*")); len(left) != 1 {
		t.Fatalf("the kill did not come in between: %v", left)
	}
	// What the killed process wrote elsewhere has no effect, and the next one
	// verifies it although its own text is the same.
	c, err := Open(Options{Layout: paths.Under(filepath.Join(home, "demo")), UserConfig: config, Executable: "/opt/nixvm/bin/nixvmd"})
	if err != nil {
		t.Fatal(err)
	}
	if left := c.unverified(); len(left) != 2 {
		t.Errorf("unverified %v", left)
	}
	mustApply(t, c, host("demo"))
	if left, _ := filepath.Glob(filepath.Join(home, ".ssh", tempPrefix+"*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if exists(c.unverifiedPath()) {
		t.Errorf("still unverified: %v", c.unverified())
	}
	if fi, err := os.Stat(config); err != nil || fi.Mode().Perm() != 0o640 {
		t.Errorf("mode %v %v", fi.Mode(), err)
	}
	if err := c.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := read(t, config); got != content {
		t.Errorf("after remove: %q", got)
	}
}

// Several instances, each with its own state, edit the same file at once.
func TestProcessesAtOnce(t *testing.T) {
	home := shortDir(t)
	config := filepath.Join(home, ".ssh", "config")
	if err := os.MkdirAll(filepath.Dir(config), 0o700); err != nil {
		t.Fatal(err)
	}
	content := "# mine\nHost *\n  User me\n"
	if err := os.WriteFile(config, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	const n = 8
	for i := range n {
		wg.Go(func() {
			if out, err := runHelper(t, fmt.Sprintf("apply %s vm%d", home, i)); err != nil {
				t.Errorf("vm%d: %v %s", i, err, out)
			}
		})
	}
	wg.Wait()
	for i := range n {
		if got := resolve(t, config, fmt.Sprintf("vm%d", i))["user"]; got != "user" {
			t.Errorf("vm%d has user %q", i, got)
		}
	}
	for i := range n {
		wg.Go(func() {
			c, err := Open(Options{Layout: paths.Under(filepath.Join(home, fmt.Sprintf("vm%d", i))), UserConfig: config, Executable: "/x"})
			if err == nil {
				err = c.Remove(t.Context())
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := read(t, config); got != content {
		t.Errorf("left %q", got)
	}
}

// Instances come and go at once in a home that has no ~/.ssh: no line is
// left. (An empty file may be: who created it was not the last to go.)
func TestInstancesComeAndGo(t *testing.T) {
	home := shortDir(t)
	config := filepath.Join(home, ".ssh", "config")
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			name := fmt.Sprintf("vm%d", i)
			c, err := Open(Options{Layout: paths.Under(filepath.Join(home, name)), UserConfig: config, Executable: "/x"})
			if err != nil {
				t.Error(err)
				return
			}
			for range 5 {
				if _, err := c.Apply(t.Context(), hosts(name)); err != nil {
					t.Error(err)
				}
				if err := c.Remove(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if exists(config) && read(t, config) != "" {
		t.Errorf("left %q", read(t, config))
	}
}

// The same instance from several goroutines: the last complete list wins, and
// the file is whole in any order.
func TestApplyAtOnceInOneProcess(t *testing.T) {
	c := newConfig(t)
	writeUserConfig(t, c, "Host x\n")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if _, err := c.Apply(t.Context(), hosts("a", fmt.Sprintf("b%d", i))); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := len(split([]byte(read(t, c.ConfigFile())))); got != 4 {
		t.Errorf("%d blocks, want 4", got)
	}
	if got := resolve(t, c.UserConfig(), "a")["user"]; got != "user" {
		t.Errorf("a has user %q", got)
	}
}
