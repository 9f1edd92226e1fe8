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
	_ = os.RemoveAll(dir) // a directory of the test's own: a file that cannot be removed does no harm
}

// attempts is how often Retry tries.
const attempts = 8

// Retry runs f again while a builder died of signal 9 that the test did not send:
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

// Again runs the tests of this package whose names match once more, with the nix of
// a Debian suite (scripts/newer-nix). Tests whose names match skip are left out, the
// caller among them. Without that nix (no network, no mmdebstrap) it skips and says
// why.
func Again(t *testing.T, suite, run, skip string) {
	t.Helper()
	script := filepath.Join(sources(t), "scripts", "newer-nix")
	var why strings.Builder
	fetch := exec.CommandContext(t.Context(), script, suite)
	fetch.Stderr = &why
	bin, err := fetch.Output()
	if err != nil {
		t.Skipf("there is no nix of Debian %s: %v: %s", suite, err, lastLine(why.String()))
	}
	path := strings.TrimSpace(string(bin)) + ":" + os.Getenv("PATH")
	version := exec.CommandContext(t.Context(), "nix", "--version")
	version.Env = append(os.Environ(), "PATH="+path)
	version.Path = filepath.Join(strings.TrimSpace(string(bin)), "nix")
	said, err := version.Output()
	if err != nil {
		t.Fatalf("the nix of Debian %s does not run: %v", suite, err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.count=1", "-test.run="+run, "-test.skip="+skip, "-test.timeout=8m")
	cmd.Env = append(os.Environ(), "PATH="+path)
	out, err := cmd.CombinedOutput()
	if passed := strings.Count(string(out), "--- PASS: "); err != nil || passed == 0 {
		t.Fatalf("with %s: %v, %d passed:\n%s", strings.TrimSpace(string(said)), err, passed, out)
	}
	t.Logf("%d passed with %s", strings.Count(string(out), "\n--- PASS: "), strings.TrimSpace(string(said)))
}

// sources is the top of the checkout.
func sources(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for dir != "/" {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		dir = filepath.Dir(dir)
	}
	t.Fatal("there is no go.mod above")
	return ""
}

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndexByte(text, '\n')+1:]
}
