package pve_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/backends/proxmox/pve"
)

// ask makes one request, and returns what authorised it.
func ask(t *testing.T, source pve.Secret) (sent string, err error) {
	s := newServer(t)
	s.on("GET", "/x", func(w http.ResponseWriter, r *http.Request) {
		sent = r.Header.Get("Authorization")
		data(nil)(w, r)
	})
	err = s.clientWith(t, func(c *pve.Config) { c.Secret = source }).Get(t.Context(), "/x", nil, nil)
	return sent, err
}

func TestTheSecretComesFromAFileAVariableOrACommand(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("NIXVM_TEST_PVE_SECRET", secret)
	for _, source := range []pve.Secret{{File: file}, {Env: "NIXVM_TEST_PVE_SECRET"}, {Command: []string{"cat", file}}} {
		if sent, err := ask(t, source); err != nil || sent != "PVEAPIToken="+tokenID+"="+secret {
			t.Errorf("%+v: %q, %v", source, sent, err)
		}
	}
}

func TestASecretThatCannotBeReadIsNeitherSentNorShown(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	t.Setenv("NIXVM_TEST_PVE_SECRET", secret+"\r\nX-Other: header")
	for name, source := range map[string]pve.Secret{
		"a file that others can read": {File: write("open", secret, 0o644)},
		"a directory":                 {File: dir},
		"no file":                     {File: filepath.Join(dir, "nosuch")},
		"an empty file":               {File: write("empty", "\n", 0o600)},
		"a header in the value":       {Env: "NIXVM_TEST_PVE_SECRET"},
		"no variable":                 {Env: "NIXVM_TEST_PVE_NOSUCH"},
		"a command that fails":        {Command: []string{"cat", write("shown", secret, 0o600), filepath.Join(dir, "nosuch")}},
		"no command":                  {Command: []string{filepath.Join(dir, "nosuch")}},
	} {
		sent, err := ask(t, source)
		var failed *pve.SecretError
		if !errors.As(err, &failed) || pve.Lost(err) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", name, err)
		}
		if sent != "" {
			t.Errorf("%s: something was sent", name)
		}
	}
}

func TestASecretHasOneSource(t *testing.T) {
	for _, bad := range []pve.Secret{{}, {File: "/f", Env: "E"}, {File: "relative"}, {Command: []string{""}}} {
		if bad.Check() == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
	for _, good := range []pve.Secret{{File: "/f"}, {Env: "E"}, {Command: []string{"pass", "show", "pve"}}} {
		if err := good.Check(); err != nil {
			t.Error(err)
		}
	}
}
