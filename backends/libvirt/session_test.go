package libvirt

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestASessionStartsItsDaemonWhenNoneRuns(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", dir)
	t.Setenv("PATH", dir)
	script := "#!/bin/sh\necho \"$@\" >" + filepath.Join(dir, "asked") + "\necho it cannot start >&2\nexit 1\n"
	if err := os.WriteFile(filepath.Join(dir, "virtqemud"), []byte(script), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	target, err := parseURI("qemu:///session")
	if err != nil {
		t.Fatal(err)
	}
	_, err = target.dialSession(t.Context())
	if err == nil || !strings.Contains(err.Error(), "it cannot start") {
		t.Errorf("a daemon that does not start: %v", err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "asked")); err != nil || string(got) != "--daemon --timeout 120\n" {
		t.Errorf("asked for %q, %v", got, err)
	}
}
