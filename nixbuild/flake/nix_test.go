package flake

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// nix runs real nix programs on a copy of the flake, with a store of its own that
// needs neither /nix nor a daemon nor a network.
type nix struct {
	dir string // the copy of the flake
	env []string
}

func newNix(t *testing.T) nix {
	t.Helper()
	if _, err := exec.LookPath("nix"); err != nil {
		t.Fatal("this test needs nix\n  sudo apt-get install nix-bin")
	}
	home := t.TempDir()
	dir := filepath.Join(home, "flake")
	if err := os.CopyFS(dir, Files); err != nil {
		t.Fatal(err)
	}
	conf := "experimental-features = nix-command flakes\nbuild-users-group =\nsubstitute = false\nsandbox = false\n"
	write(t, filepath.Join(home, "etc/nix.conf"), conf)
	return nix{dir: dir, env: append(os.Environ(),
		"HOME="+home, "NIX_CONF_DIR="+filepath.Join(home, "etc"), "NIX_STORE_DIR="+filepath.Join(home, "store"),
		"NIX_STATE_DIR="+filepath.Join(home, "state"), "NIX_LOG_DIR="+filepath.Join(home, "log"), "NIX_USER_CONF_FILES=", "NIX_PATH=")}
}

// run returns what a program prints, or its error with what it said of it.
func (n nix) run(t *testing.T, program string, args ...string) ([]byte, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env, cmd.Dir = n.env, n.dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, stderr.String())
	}
	return out, nil
}

// eval decodes the value of an attribute of a file: nix eval --json -f FILE ATTR ...
func (n nix) eval(t *testing.T, into any, args ...string) error {
	t.Helper()
	out, err := n.run(t, "nix", append([]string{"eval", "--json"}, args...)...)
	if err != nil {
		return err
	}
	return json.Unmarshal(out, into)
}

// evalModules decodes what testdata/eval.nix says of an image. It skips where
// there is no library of nixpkgs.
func (n nix) evalModules(t *testing.T, into any, attribute, profiles, mode, extra string) error {
	t.Helper()
	lib := os.Getenv("NIXPKGS_LIB")
	if lib == "" {
		t.Skip("set NIXPKGS_LIB to the lib directory of a nixpkgs, one that this nix can evaluate, to evaluate the modules with it")
	}
	testdata, err := filepath.Abs("testdata/eval.nix")
	if err != nil {
		t.Fatal(err)
	}
	// Paths and text go in by the environment, not as parts of an expression.
	n.env = append(n.env, "EVAL="+testdata, "FLAKE="+n.dir, "PROFILES="+profiles, "MODE="+mode, "EXTRA="+extra)
	return n.eval(t, into, "--impure", "--expr", `
		let e = builtins.getEnv; in import (/. + e "EVAL") {
			flake = /. + e "FLAKE"; nixpkgsLib = /. + e "NIXPKGS_LIB"; profiles = e "PROFILES"; mode = e "MODE"; extra = e "EXTRA";
		}`, attribute)
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestEveryNixFileParses(t *testing.T) {
	n := newNix(t)
	var files []string
	err := fs.WalkDir(Files, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(name, ".nix") {
			files = append(files, name)
		}
		return err
	})
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	if _, err := n.run(t, "nix-instantiate", append([]string{"--parse"}, files...)...); err != nil {
		t.Error(err)
	}
}

func TestTheLockNamesEveryInputSoThatNothingIsLookedUp(t *testing.T) {
	var meta struct {
		Locks struct {
			Nodes map[string]struct {
				Locked struct{ Rev, NarHash string }
			}
		}
	}
	n := newNix(t)
	// It would have to ask the network for an input that the lock lacks, and
	// there is none for this nix.
	n.env = append(n.env, "https_proxy=http://127.0.0.1:1", "http_proxy=http://127.0.0.1:1")
	out, err := n.run(t, "nix", "flake", "metadata", "--json", "--no-update-lock-file", "path:"+n.dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &meta); err != nil {
		t.Fatal(err)
	}
	for _, input := range []string{"nixpkgs", "home-manager"} {
		if l := meta.Locks.Nodes[input].Locked; len(l.Rev) != 40 || !strings.HasPrefix(l.NarHash, "sha256-") {
			t.Errorf("%s is locked to %+v", input, l)
		}
	}
}
