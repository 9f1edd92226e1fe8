package main

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/nixvm/nixvm/cmd/nixvmd/internal/scripttest"
)

// TestNixScripts runs what users type around NixOS images, with the real nix, a
// store of its own and a flake that needs no nixpkgs.
func TestNixScripts(t *testing.T) {
	p := scripttest.WithNix(scripttest.Params("testdata/nix"), "")
	p.Cmds["cancelTicking"] = cancelTicking
	testscript.Run(t, p)
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
