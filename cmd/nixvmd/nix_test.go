package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/nixvm/nixvm/cmd/nixvmd/internal/scripttest"
	"github.com/nixvm/nixvm/nixbuild/nix/nixtest"
	"github.com/nixvm/nixvm/nixbuild/nixos/nixostest"
)

// TestNixScripts runs what users type around NixOS images, with the real nix, a
// store of its own and a flake that needs no nixpkgs.
func TestNixScripts(t *testing.T) {
	p := scripttest.Params("testdata/nix")
	setup := p.Setup
	p.Setup = func(env *testscript.Env) error {
		if err := setup(env); err != nil {
			return err
		}
		store, err := os.MkdirTemp("", "nixtest")
		if err != nil {
			return err
		}
		env.Defer(func() { nixtest.Remove(store) })
		variables, err := nixtest.Environment(store)
		if err != nil {
			return err
		}
		for name, value := range variables {
			env.Setenv(name, value)
		}
		return nixostest.Write(filepath.Join(env.Getenv("NIXVM_HOME"), "data", "flake"), "")
	}
	p.Cmds["retry"] = retry
	p.Cmds["cancelTicking"] = cancelTicking
	testscript.Run(t, p)
}

// retry runs a program again while a builder has died of signal 9 by itself;
// see nixtest.Retry: retry exec PROGRAM [ARGUMENT...].
func retry(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || args[0] != "exec" {
		ts.Fatalf("usage: retry exec PROGRAM [ARGUMENT...]")
	}
	ts.Check(nixtest.Retry(func() error {
		err := ts.Exec(args[1], args[2:]...)
		if err != nil {
			err = errors.Join(err, errors.New(ts.ReadFile("stderr")))
		}
		return err
	}))
}

// cancelTicking cancels the build whose id was printed last, once its builder has
// been heard, and waits for its end.
func cancelTicking(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: cancelTicking")
	}
	id := strings.TrimSpace(ts.ReadFile("stdout"))
	cmd := exec.Command("nixvmd", "--verbose", "wait", id)
	cmd.Env = environment(ts)
	stderr, err := cmd.StderrPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	heard, buf := "", make([]byte, 4096)
	for !strings.Contains(heard, "tick\n") {
		n, err := stderr.Read(buf)
		ts.Check(err)
		heard += string(buf[:n])
	}
	ts.Check(ts.Exec("nixvmd", "cancel", id))
	for err == nil {
		_, err = stderr.Read(buf)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != exitCancelled {
		ts.Fatalf("a cancelled build ended with %v", err)
	}
}

func environment(ts *testscript.TestScript) []string {
	env := os.Environ()
	for _, name := range []string{"NIXVM_HOME", "NIXVM_SSH_CONFIG", "PATH"} {
		env = append(env, name+"="+ts.Getenv(name))
	}
	return env
}
