// Package nixtest gives a test the real nix with a store of its own: no daemon,
// no /nix, no network, no sandbox. Builders see the programs of this machine.
package nixtest

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// configuration is nix.conf. Experimental features are left out on purpose: the
// driver has to ask for what it uses.
const configuration = `sandbox = false
build-users-group =
substitute = false
substituters =
max-jobs = 2
`

// Store points nix at an empty store for the rest of the test, and returns the
// store's directory.
func Store(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "nixtest")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { Remove(dir) })
	environment, err := Environment(dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range environment {
		t.Setenv(name, value)
	}
	return filepath.Join(dir, "store")
}

// Environment makes an empty store below dir, and returns the variables that
// point nix at it. An error says how to get nix.
func Environment(dir string) (map[string]string, error) {
	if _, err := exec.LookPath("nix"); err != nil {
		return nil, errors.New("this test needs nix\n  sudo apt-get install nix-bin")
	}
	out := map[string]string{"NIX_REMOTE": ""}
	for name, sub := range map[string]string{
		"NIX_STORE_DIR": "store", "NIX_STATE_DIR": "var/nix", "NIX_LOG_DIR": "var/log/nix", "NIX_CONF_DIR": "etc",
		"NIX_USER_CONF_FILES": "etc/none", "XDG_CACHE_HOME": "cache",
	} {
		out[name] = filepath.Join(dir, sub)
	}
	if err := os.MkdirAll(out["NIX_CONF_DIR"], 0o700); err != nil {
		return nil, err
	}
	return out, os.WriteFile(filepath.Join(out["NIX_CONF_DIR"], "nix.conf"), []byte(configuration), 0o600)
}

// Remove deletes a tree whose directories are read-only, as those of a store.
func Remove(dir string) {
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			return os.Chmod(path, 0o700)
		}
		return err
	})
	_ = os.RemoveAll(dir) // a directory of the test's own: what cannot be removed is in nobody's way
}

// attempts is how often Retry tries.
const attempts = 8

// Retry runs f again while a builder died of signal 9 without anybody's doing:
// on some kernels that happens to builders that take a few milliseconds only.
// Each attempt goes on from what the one before has built.
func Retry(f func() error) error {
	var err error
	for range attempts {
		if err = f(); err == nil || !strings.Contains(err.Error(), "signal 9") {
			return err
		}
	}
	return err
}
