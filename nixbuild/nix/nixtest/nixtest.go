// Package nixtest gives a test the real nix with a store of its own: no daemon,
// no /nix, no network, no sandbox. Builders see the programs of this machine.
package nixtest

import (
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
	if _, err := exec.LookPath("nix"); err != nil {
		t.Fatal("this test needs nix\n  sudo apt-get install nix-bin")
	}
	dir, err := os.MkdirTemp("", "nixtest")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { remove(t, dir) })
	for name, sub := range map[string]string{
		"NIX_STORE_DIR": "store", "NIX_STATE_DIR": "var/nix", "NIX_LOG_DIR": "var/log/nix", "NIX_CONF_DIR": "etc",
		"NIX_USER_CONF_FILES": "etc/none", "XDG_CACHE_HOME": "cache",
	} {
		setenv(t, name, filepath.Join(dir, sub))
	}
	setenv(t, "NIX_REMOTE", "")
	if err := os.Mkdir(filepath.Join(dir, "etc"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "etc", "nix.conf"), []byte(configuration), 0o600); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "store")
}

func setenv(t testing.TB, name, value string) {
	old, had := os.LookupEnv(name)
	if err := os.Setenv(name, value); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if had {
			_ = os.Setenv(name, old) // it was set before: it can be
		} else {
			_ = os.Unsetenv(name)
		}
	})
}

// remove deletes a tree whose directories are read-only, as those of a store.
func remove(t testing.TB, dir string) {
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			return os.Chmod(path, 0o700)
		}
		return err
	})
	if err == nil {
		err = os.RemoveAll(dir)
	}
	if err != nil {
		t.Logf("not removed: %v", err)
	}
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
