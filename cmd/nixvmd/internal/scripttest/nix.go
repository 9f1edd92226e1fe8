package scripttest

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/nixvm/nixvm/nixbuild/nix/nixtest"
	"github.com/nixvm/nixvm/nixbuild/nixos/nixostest"
)

// WithNix makes scripts use the real nix, with a store of its own for each, and a
// flake that needs no nixpkgs; from is the image that it builds (nixostest). It
// adds a command:
//
//	retry exec PROGRAM [ARGUMENT...]  run it again while a builder dies by itself (nixtest.Retry)
func WithNix(p testscript.Params, from string) testscript.Params {
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
		return nixostest.Write(filepath.Join(env.Getenv("NIXVM_HOME"), "data", "flake"), from)
	}
	p.Cmds["retry"] = retry
	return p
}

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
