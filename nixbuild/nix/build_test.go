package nix_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
	"github.com/nixvm/nixvm/nixbuild/nix"
	"github.com/nixvm/nixvm/nixbuild/nix/nixtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// limit is more than nix takes for a small build on a loaded machine.
const limit = 2 * time.Minute

// file writes a file of the Nix language. Its builders can be written as sh
// "name" "shell text".
func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a file.nix")
	text = `{ what ? "nothing" }: let sh = name: text: derivation {
  inherit name; system = "x86_64-linux"; builder = "/bin/sh"; PATH = "/usr/bin:/bin"; inherit what; args = [ "-c" "set -e\n${text}" ];
}; in ` + text
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func build(t *testing.T, text string, report progress.Reporter) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	target := nix.Target{File: file(t, text), Attribute: "image"}
	var out string
	err := nixtest.Retry(func() (err error) {
		out, err = nix.Build(ctx, target, filepath.Join(t.TempDir(), "root"), "image", report)
		return err
	})
	return out, err
}

func TestABuildGivesItsOutputAndSaysHowFarItIs(t *testing.T) {
	store := nixtest.Store(t)
	var messages, logs []string
	report := func(u progress.Update) {
		if u.Message != "" {
			messages = append(messages, u.Message)
		} else {
			logs = append(logs, u.Log)
		}
	}
	root := filepath.Join(t.TempDir(), "root")
	hostile := `"; ${throw "no"} \ $(id) ''`
	target := nix.Target{
		File:      file(t, `{ image = sh "an-image" "mkdir $out; echo first words; printf %s \"$what\" > $out/what"; }`),
		Attribute: "image", Arguments: map[string]string{"what": hostile},
	}
	var out string
	err := nixtest.Retry(func() (err error) {
		out, err = nix.Build(t.Context(), target, root, "image", report)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(out, store+"/") || !strings.HasSuffix(out, "-an-image") {
		t.Errorf("the output is %s", out)
	}
	if link, err := os.Readlink(root); err != nil || link != out {
		t.Errorf("the root is %q, %v", link, err)
	}
	if !strings.Contains(strings.Join(logs, "\n"), "an-image> first words") {
		t.Errorf("passed on: %q", logs)
	}
	if all := strings.Join(messages, "\n"); !strings.Contains(all, "building an-image (0/1)") || !strings.Contains(all, "(1/1)") {
		t.Errorf("said: %q", messages)
	}
	if got, err := os.ReadFile(filepath.Join(out, "what")); err != nil || string(got) != hostile {
		t.Errorf("the argument arrived as %q, %v", got, err)
	}
	// The root holds: nix deletes nothing that it reaches.
	if err := nix.Delete(t.Context(), out); err == nil {
		t.Error("an output with a root was deleted")
	}
	if err := os.Remove(root); err != nil {
		t.Fatal(err)
	}
	if err := nix.Delete(t.Context(), out); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(out); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after its deletion: %v", err)
	}
}

func TestEachFailureSaysWhatAPersonCanDo(t *testing.T) {
	nixtest.Store(t)
	for name, tt := range map[string]struct {
		text      string
		code      problem.Code
		message   string
		hint      string
		retryable bool
	}{
		"a builder fails": {
			text: `{ image = sh "img" "i=0; while [ $i -lt 30 ]; do i=$((i+1)); echo line $i; done; echo the reason >&2; exit 7"; }`,
			code: problem.ImageBuildFailed, message: "the build of img failed with exit code 7:\n  line 22\n", hint: "nix-store --read-log ",
		},
		"what it needs fails": {
			text: `{ image = sh "img" "echo ${sh "dep" "echo deep trouble; exit 3"}"; }`,
			code: problem.ImageBuildFailed, message: "the build of dep failed with exit code 3:\n  deep trouble", hint: "nix-store --read-log ",
		},
		"the disk is full": {
			text: `{ image = sh "img" "echo cp: error writing: No space left on device >&2; exit 1"; }`,
			code: problem.DiskFull, message: "No space left on device", hint: "free some space",
		},
		"an assertion": {
			text: `{ image = throw "\nFailed assertions:\n- nvidia needs docker\n- and a GPU"; }`,
			code: problem.ImageBuildFailed, message: "the profiles are incompatible: nvidia needs docker; and a GPU", hint: "change the profiles",
		},
		"the flake's own words": {
			text: `{ image = throw "nixvm: profile nvidia requires docker: the GPU is handed to containers by Docker"; }`,
			code: problem.ImageBuildFailed, message: "profile nvidia requires docker: the GPU is handed to containers by Docker", hint: "",
		},
		"an unfree package": {
			text: `{ image = throw "Package ‘claude-code-2.1.90’ in /x.nix:3 has an unfree license (‘unfree’), refusing to evaluate."; }`,
			code: problem.ImageBuildFailed, message: "claude-code-2.1.90", hint: "allowUnfreePredicate",
		},
		"an attribute is missing": {
			text: `{ image = { a = 1; }.docker; }`,
			code: problem.ImageBuildFailed, message: "attribute 'docker' missing", hint: "check that name",
		},
		"the file lacks it": {
			text: `{ images = 1; }`,
			code: problem.ImageBuildFailed, message: "'image'", hint: "check that name",
		},
		"a syntax error": {
			text: `{ image = 1 2; `,
			code: problem.ImageBuildFailed, message: "syntax error", hint: "correct the file",
		},
		"no network": {
			text: `{ image = builtins.fetchurl "http://localhost:1/nothing"; }`,
			code: problem.ImageBuildFailed, message: "http://localhost:1/nothing", hint: "check the network", retryable: true,
		},
		"another system": {
			text: `{ image = derivation { name = "x"; system = "riscv64-linux"; builder = "/bin/sh"; }; }`,
			code: problem.ImageBuildFailed, message: "riscv64-linux", hint: "system-features",
		},
		"a feature that no builder has": {
			text: `{ image = sh "img" "echo ${derivation { name = "x"; system = "x86_64-linux"; builder = "/bin/sh"; requiredSystemFeatures = [ "kvm2" ]; }}"; }`,
			code: problem.ImageBuildFailed, message: "kvm2", hint: "system-features",
		},
		"a builder that makes nothing": {
			text: `{ image = sh "img" "echo all is well"; }`,
			code: problem.ImageBuildFailed, message: "the build of img failed to produce output path for output 'out':\n  all is well", hint: "nix-store --read-log ",
		},
		"a terminal's control characters": {
			text: `{ image = throw "red ${builtins.fromJSON "\"\\u001b[31m\""} alert"; }`,
			code: problem.ImageBuildFailed, message: "red  alert",
		},
		"not a derivation": {
			text: `{ image = [ 1 ]; }`,
			code: problem.ImageBuildFailed, message: "nix cannot build this",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := build(t, tt.text, nil)
			if !problem.HasCode(err, tt.code) {
				t.Fatalf("got %v, want %s", err, tt.code)
			}
			p := problem.From(err)
			t.Logf("%s\n-> %s", p.Message, p.Hint)
			if !strings.Contains(p.Message, tt.message) || !strings.Contains(p.Hint, tt.hint) || p.Retryable != tt.retryable {
				t.Errorf("message %q, hint %q, retryable %v", p.Message, p.Hint, p.Retryable)
			}
			if strings.Contains(p.Message, "\x1b") {
				t.Error("control characters are passed on")
			}
		})
	}
}

func TestACancelledBuildHasStoppedItsBuilder(t *testing.T) {
	nixtest.Store(t)
	pid := filepath.Join(t.TempDir(), "pid")
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	ticks := 0
	report := func(u progress.Update) {
		if strings.HasSuffix(u.Log, "tick") {
			if ticks++; ticks == 3 {
				cancel()
			}
		}
	}
	target := nix.Target{File: file(t, `{ image = sh "slow" "echo $$ > `+pid+`; trap '' INT; while :; do echo tick; (exec sleep 0.1); done"; }`), Attribute: "image"}
	root := filepath.Join(t.TempDir(), "root")
	var err error
	for range 8 { // a builder that dies of itself has not ticked
		if _, err = nix.Build(ctx, target, root, "image", report); ticks > 0 {
			break
		}
	}
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	if _, err := os.Lstat(root); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a root is left: %v", err)
	}
	data, err := os.ReadFile(pid)
	if err != nil {
		t.Fatal(err)
	}
	builder := 0
	for _, c := range strings.TrimSpace(string(data)) {
		builder = builder*10 + int(c-'0')
	}
	if err := syscall.Kill(builder, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the builder, process %d, is still there: %v", builder, err)
	}
}

func TestAMachineWithoutNixSaysHowToGetIt(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("HOME", t.TempDir())
	if nix.Find() != "" {
		t.Skip("nix is installed where its own installers put it: this machine cannot be without")
	}
	_, err := nix.Build(t.Context(), nix.Target{File: "/x.nix", Attribute: "image"}, "/root", "image", nil)
	if !problem.HasCode(err, problem.BackendMissing) || problem.From(err).Hint == "" {
		t.Errorf("got %v with hint %q", err, problem.From(err).Hint)
	}
}

func TestTheVersionIsANumber(t *testing.T) {
	nixtest.Store(t)
	v, err := nix.Version(t.Context())
	if err != nil || !strings.Contains(v, ".") || v[0] < '0' || v[0] > '9' {
		t.Errorf("%q, %v", v, err)
	}
}
