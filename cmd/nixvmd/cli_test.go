package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/internal/problem"
)

func TestEveryProblemLeadsToOneExitCode(t *testing.T) {
	seen := map[problem.Code]int{}
	for _, class := range exitClasses() {
		for _, code := range class.codes {
			if before, twice := seen[code]; twice {
				t.Errorf("%s leads to %d and to %d", code, before, class.exit)
			}
			seen[code] = class.exit
			err := fmt.Errorf("wrapped: %w", problem.New(code, "x"))
			if got := exitCode(err); got != class.exit {
				t.Errorf("%s exits with %d, want %d", code, got, class.exit)
			}
		}
	}
	protocol, err := os.ReadFile("../../rpc/openrpc.json")
	if err != nil {
		t.Fatal(err)
	}
	missing := regexp.MustCompile(`"code": "([a-z_]+\.not_found)"`).FindAllSubmatch(protocol, -1)
	if len(missing) == 0 {
		t.Error("the protocol has no code for what does not exist")
	}
	for _, m := range missing {
		if code := problem.Code(m[1]); seen[code] != exitNotFound {
			t.Errorf("%s exits with %d", code, exitCode(problem.New(code, "x")))
		}
	}
	if exitCode(nil) != 0 || exitCode(errors.New("anything")) != exitFailed {
		t.Error("no error is not 0, or an unknown one is not 1")
	}
}

func TestThePageOfTheCommandLineNamesEveryVerbFlagAndExitCode(t *testing.T) {
	page, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	root := newRoot(newApp(os.Stdin, os.Stdout, os.Stderr))
	for _, c := range root.Commands() {
		if !strings.Contains(string(page), "`"+c.Name()) && c.Name() != "exit-codes" && !strings.Contains(string(page), c.Name()+"`") {
			t.Errorf("docs/cli.md does not name the verb %s", c.Name())
		}
	}
	create, _, err := root.Find([]string{"create"})
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(create.LocalFlags().FlagUsages(), "\n") {
		if i := strings.Index(line, "--"); i >= 0 {
			if flag, _, _ := strings.Cut(line[i:], " "); !strings.Contains(string(page), flag) {
				t.Errorf("docs/cli.md does not name create %s", flag)
			}
		}
	}
	for _, class := range exitClasses() {
		if !strings.Contains(string(page), fmt.Sprintf("\n| %d |", class.exit)) {
			t.Errorf("docs/cli.md does not list the exit code %d", class.exit)
		}
	}
}

func TestEveryVerbExplainsItself(t *testing.T) {
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: %q is no summary", c.CommandPath(), c.Short)
		}
		if c.Runnable() && c.HasParent() && c.Args == nil {
			t.Errorf("%s takes any argument", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			if sub.Name() != "help" {
				walk(sub)
			}
		}
	}
	walk(newRoot(newApp(os.Stdin, os.Stdout, os.Stderr)))
}

func TestImageIsAKindOrAFile(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, name := range []string{"disk.qcow2", "trial"} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for image, want := range map[string]string{
		"": "", "trial": "trial", "nixos": "nixos", "disk.qcow2": filepath.Join(dir, "disk.qcow2"),
		"./trial": filepath.Join(dir, "trial"), "../x.raw": filepath.Join(filepath.Dir(dir), "x.raw"), "/abs": "/abs", "other": "other",
		"https://example.org/x.raw": "https://example.org/x.raw", "file:///x.raw": "file:///x.raw",
	} {
		if got, err := imagePath(image); err != nil || got != want {
			t.Errorf("--image %q is %q (%v), want %q", image, got, err, want)
		}
	}
}

func TestKeysAreReadFromPublicKeyFiles(t *testing.T) {
	dir := t.TempDir()
	public, private := filepath.Join(dir, "id.pub"), filepath.Join(dir, "id")
	write := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(public, "# mine\nssh-ed25519 AAAA a@b\n\nssh-rsa BBBB c@d\n")
	write(private, "-----BEGIN OPENSSH PRIVATE KEY-----\n")
	if keys, err := readKeys("--authorized-key", []string{public}); err != nil || len(keys) != 2 || keys[1] != "ssh-rsa BBBB c@d" {
		t.Errorf("got %q, %v", keys, err)
	}
	if _, err := readKeys("--authorized-key", []string{private}); !problem.HasCode(err, problem.BadParams) {
		t.Errorf("a private key was taken: %v", err)
	}
}
